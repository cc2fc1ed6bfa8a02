/**
 * Paints masks with a round brush. A stroke goes into the selected mask or begins a new one, and the eraser takes away from the
 * selected mask, or the one under it; a stroke becomes one operation when the pointer goes up.
 */
import { placePoint } from "../../geometry/boxes";
import { emptyMask, type Mask, maskBounds, paintStroke } from "../../geometry/masks";
import type { BoxXyxy, ImagePoint } from "../../geometry/points";
import { decodeMask } from "../../geometry/rle";
import { asHuman, type Label, type Operation } from "../../labels/annotation";
import { findLabel } from "../../labels/document";
import { withMask } from "../../labels/shapes";
import {
  NO_CATEGORY,
  type PointerStep,
  type Preview,
  showing,
  type Tool,
  type ToolContext,
  type ToolStep,
} from "../tool";

type Stroke = {
  /** The label that is painted on; null: the stroke begins a new one. */
  readonly label: Label | null;
  readonly category: string;
  readonly pixels: Mask;
  readonly last: ImagePoint;
  readonly changed: boolean;
};

export type BrushState = { readonly stroke: Stroke | null };

const MASKS_ONLY =
  "The eraser takes from masks, which the brush paints. Change a box or a polygon with Select, or delete it.";

const IDLE: BrushState = { stroke: null };

export const brushTool = makeBrush("brush", false);
export const eraserTool = makeBrush("eraser", true);

function makeBrush(name: "brush" | "eraser", erases: boolean): Tool<BrushState> {
  return {
    name,
    initial: IDLE,
    cursor: "none",
    isBusy: (state) => state.stroke !== null,
    step: (state, event, context) => {
      switch (event.kind) {
        case "down":
          return event.button === 0 ? press(event, context, erases) : hover(state, event.at, context, erases);
        case "move":
          return state.stroke
            ? paint(state.stroke, event.at, context, erases)
            : hover(state, event.at, context, erases);
        case "up":
          return state.stroke && event.button === 0
            ? release(state.stroke, event.at, context, erases)
            : hover(state, event.at, context, erases);
        case "cancel":
        case "leave":
          return event.kind === "leave" && state.stroke ? { state } : { state: IDLE };
        default:
          return { state };
      }
    },
  };
}

function press(event: PointerStep, context: ToolContext, erases: boolean): ToolStep<BrushState> {
  const label = findTarget(event.at, context, erases);
  const category = label?.annotation.category ?? context.category;
  if (erases && !label) {
    const isOver = context.index.hit(event.at, 0, context.hidden).length > 0;
    return { ...hover(IDLE, event.at, context, erases), ...(isOver && { notice: MASKS_ONLY }) };
  }
  if (category === null) return { ...hover(IDLE, event.at, context, erases), notice: NO_CATEGORY };
  const rle = label?.annotation.mask;
  const pixels = rle ? decodeMask(rle) : emptyMask(context.picture);
  return paint({ label, category, pixels, last: event.at, changed: false }, event.at, context, erases);
}

/** The mask that a stroke is for: the selected one; for the eraser else the topmost under it. */
function findTarget(at: ImagePoint, context: ToolContext, erases: boolean): Label | null {
  const selected = [...context.selection].map((id) => findLabel(context.document, id));
  const masks = selected.filter((label) => label?.annotation.mask && !context.hidden.has(label.id));
  if (masks.length === 1) return masks[0] ?? null;
  const under = erases ? context.index.hit(at, 0, context.hidden) : [];
  return under.find((label) => label.annotation.mask) ?? null;
}

function paint(stroke: Stroke, at: ImagePoint, context: ToolContext, erases: boolean): ToolStep<BrushState> {
  const dirty = paintStroke(stroke.pixels, stroke.last, at, context.brushRadius, erases ? 0 : 1);
  const painted = { ...stroke, last: at, changed: stroke.changed || dirty !== null };
  return { state: { stroke: painted }, preview: preview(painted, dirty, at, context, erases) };
}

function release(stroke: Stroke, at: ImagePoint, context: ToolContext, erases: boolean): ToolStep<BrushState> {
  const ended = paint(stroke, at, context, erases).state.stroke as Stroke;
  const idle = hover(IDLE, at, context, erases);
  if (!ended.changed) return idle;
  const id = ended.label?.id ?? context.makeId();
  const operation = toOperation(ended, id);
  if (!operation) return idle;
  return { ...idle, operations: [operation], selection: operation.kind === "put" ? new Set([id]) : new Set<string>() };
}

/** What a stroke did to the document: a mask without a pixel is no label. */
function toOperation({ label, category, pixels }: Stroke, id: string): Operation | null {
  if (maskBounds(pixels)) {
    const annotation = withMask(label ? asHuman(label.annotation) : { category }, pixels);
    return { kind: "put", id, annotation, place: null };
  }
  return label ? { kind: "remove", id } : null;
}

function hover(state: BrushState, at: ImagePoint, context: ToolContext, erases: boolean): ToolStep<BrushState> {
  return { state, preview: showing({ brush: cursorOf(at, context, erases) }) };
}

function cursorOf(at: ImagePoint, { picture, brushRadius }: ToolContext, erases: boolean) {
  return { at: placePoint(at, picture), radius: brushRadius, erases };
}

function preview(
  { label, pixels, category }: Stroke,
  dirty: BoxXyxy | null,
  at: ImagePoint,
  context: ToolContext,
  erases: boolean,
): Preview {
  return showing({
    brush: cursorOf(at, context, erases),
    mask: { pixels, dirty, category },
    replaces: new Set(label ? [label.id] : []),
  });
}
