/** What a drag of the select tool does to labels: moves them, resizes a box, or moves a vertex; and how that looks on the way. */
import { dragHandle, type Handle, handlePoint, joinBoxes, limitMove, moveBox, placePoint } from "../../geometry/boxes";
import { type BoxXyxy, type ImagePoint, imagePoint } from "../../geometry/points";
import { pointOf } from "../../geometry/rings";
import { asHuman, type Label } from "../../labels/annotation";
import { boundsOf, moveAnnotation } from "../../labels/shapes";
import { type Preview, showing, type ToolContext, type VertexRef } from "../tool";
import { withMovedVertex } from "./vertices";

/** A rubber band; `keeps` stays selected beside what it encloses. */
export type BandDrag = { readonly kind: "band"; readonly keeps: ReadonlySet<string> };
export type MoveDrag = { readonly kind: "move"; readonly labels: readonly Label[]; readonly bounds: BoxXyxy };
export type ResizeDrag = { readonly kind: "resize"; readonly label: Label; readonly handle: Handle };
/** `label` is the polygon as the drag begins: with a new vertex, if the press made one. */
export type VertexDrag = { readonly kind: "vertex"; readonly label: Label; readonly vertex: VertexRef };
export type Drag = BandDrag | MoveDrag | ResizeDrag | VertexDrag;

/** Labels of the whole picture have no place, so they do not move. */
export function dragOf(labels: readonly Label[]): MoveDrag {
  const movable = labels.filter((label) => boundsOf(label.annotation) !== null);
  const bounds = movable.reduce<BoxXyxy | null>((sum, label) => joinBoxes(sum, boundsOf(label.annotation)), null);
  return { kind: "move", labels: movable, bounds: bounds ?? [0, 0, 0, 0] };
}

/** The labels as a drag from one point to another makes them; whoever changes a proposal answers for it. */
export function changedLabels(drag: Drag, from: ImagePoint, to: ImagePoint, context: ToolContext): Label[] {
  switch (drag.kind) {
    case "band":
      return [];
    case "move": {
      const { byX, byY } = limitMove(drag.bounds, to.x - from.x, to.y - from.y, context.picture);
      return drag.labels.map(({ id, annotation }) => ({
        id,
        annotation: moveAnnotation(asHuman(annotation), byX, byY, context.picture),
      }));
    }
    case "resize": {
      const { id, annotation } = drag.label;
      const box = boundsOf(annotation) as BoxXyxy;
      const aim = placePoint(aimOf(handlePoint(box, drag.handle), from, to), context.picture);
      return [
        { id, annotation: { ...asHuman(annotation), box_xyxy: dragHandle(box, drag.handle, aim, context.picture) } },
      ];
    }
    case "vertex": {
      const { label, vertex } = drag;
      const start = pointOf(label.annotation.polygons?.[vertex.ring] ?? [], vertex.index);
      return [withMovedVertex(label, vertex, aimOf(start, from, to), context)];
    }
  }
}

/** Where a point goes that was grabbed a little beside itself: it keeps its distance to the pointer instead of jumping under it. */
function aimOf(start: ImagePoint, from: ImagePoint, to: ImagePoint): ImagePoint {
  return imagePoint(start.x + to.x - from.x, start.y + to.y - from.y);
}

/** How a drag looks on the way. */
export function previewDrag(
  drag: Exclude<Drag, BandDrag>,
  from: ImagePoint,
  to: ImagePoint,
  context: ToolContext,
): Preview {
  const annotations = drag.kind === "move" ? [] : changedLabels(drag, from, to, context);
  if (drag.kind === "move") return previewMove(drag, from, to, context);
  const replaces = new Set(annotations.map((label) => label.id));
  return showing({ vertex: drag.kind === "vertex" ? drag.vertex : null, annotations, replaces });
}

/** Masks are shown by their bounds while they move: decoding and encoding them with every step would stutter. */
function previewMove(drag: MoveDrag, from: ImagePoint, to: ImagePoint, context: ToolContext): Preview {
  const { byX, byY } = limitMove(drag.bounds, to.x - from.x, to.y - from.y, context.picture);
  const masks = drag.labels.filter((label) => label.annotation.mask);
  const others = drag.labels.filter((label) => !label.annotation.mask);
  return showing({
    annotations: others.map(({ id, annotation }) => ({
      id,
      annotation: moveAnnotation(annotation, byX, byY, context.picture),
    })),
    boxes: masks.map(({ annotation }) => ({
      box: moveBox(boundsOf(annotation) as BoxXyxy, Math.round(byX), Math.round(byY)),
      category: annotation.category,
    })),
    replaces: new Set(others.map((label) => label.id)),
  });
}

const HANDLE_CURSORS: Record<Handle, string> = {
  nw: "nwse-resize",
  se: "nwse-resize",
  ne: "nesw-resize",
  sw: "nesw-resize",
  n: "ns-resize",
  s: "ns-resize",
  e: "ew-resize",
  w: "ew-resize",
};

export function cursorOf(drag: Drag): string {
  if (drag.kind === "band") return "default";
  return drag.kind === "resize" ? HANDLE_CURSORS[drag.handle] : "move";
}
