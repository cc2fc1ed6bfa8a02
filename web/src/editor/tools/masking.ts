/** A mask that is being made: how it looks meanwhile, and what becomes of it in the end. */
import { simplifyRing, splitRing } from "../../geometry/outlines";
import { decodeMask, readRle } from "../../geometry/rle";
import { traceMask } from "../../geometry/tracing";
import type { Annotation, MaskRle, Operation } from "../../labels/annotation";
import type { Preview, ToolContext } from "../tool";

/** The outline that is kept lies no further than this from the mask's, pixels: it loses the stairs of the pixels. */
const OUTLINE_TOLERANCE_PX = 0.75;

export const NOTHING_FOUND = "Nothing was found there. Click what belongs to it, or press Escape and try again.";

const previews = new WeakMap<object, { readonly category: string; readonly preview: Preview }>();
const annotations = new WeakMap<MaskRle, Annotation>();

/** The preview of a state that never changes: the same one while the pointer only hovers, so that nothing is drawn again. */
export function previewOnce(state: object, category: string, make: () => Preview): Preview {
  const known = previews.get(state);
  if (known?.category === category) return known.preview;
  const preview = make();
  previews.set(state, { category, preview });
  return preview;
}

/** The mask as the label that it would become: one object as long as it is the same mask, for it is decoded when it is drawn. */
export function previewMask(id: string, mask: MaskRle | null, category: string): Pick<Preview, "annotations"> {
  if (!mask || readRle(mask).area === 0) return { annotations: [] };
  const known = annotations.get(mask);
  const annotation = known?.category === category ? known : { category, mask };
  annotations.set(mask, annotation);
  return { annotations: [{ id, annotation }] };
}

/** The label that a finished mask becomes: itself, or its outline as polygons. Null: it is empty. */
export function putMask(mask: MaskRle, asPolygon: boolean, context: ToolContext): (Operation & { id: string }) | null {
  const { category } = context;
  if (category === null || readRle(mask).area === 0) return null;
  const annotation: Annotation = asPolygon ? { category, polygons: outlineMask(mask) } : { category, mask };
  return { kind: "put", id: context.makeId(), annotation, place: null };
}

/** Holes are filled: polygons have none. */
function outlineMask(mask: MaskRle) {
  const { outer } = traceMask(decodeMask(mask));
  return outer.flatMap(splitRing).map((ring) => simplifyRing(ring, OUTLINE_TOLERANCE_PX) ?? ring);
}
