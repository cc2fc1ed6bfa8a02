/** Changes a polygon's outline: which vertex or edge of the selected polygon is under the pointer, and the label after a change. */
import { placePoint } from "../../geometry/boxes";
import type { ImagePoint, Ring } from "../../geometry/points";
import { insertVertex, moveVertex, nearestEdge, nearestVertex, removeVertex } from "../../geometry/rings";
import { asHuman, type Label, type Operation } from "../../labels/annotation";
import { findLabel } from "../../labels/document";
import { geometryOf, withPolygons } from "../../labels/shapes";
import { REACH_PX, type ToolContext, type VertexRef } from "../tool";

/** The one label that is selected and shown; handles and vertices belong to it. */
export function onlySelected(context: ToolContext): Label | null {
  const [id] = context.selection;
  if (id === undefined || context.selection.size !== 1 || context.hidden.has(id)) return null;
  return findLabel(context.document, id) ?? null;
}

export function selectedPolygon(context: ToolContext): Label | null {
  const label = onlySelected(context);
  return label && geometryOf(label.annotation) === "polygons" ? label : null;
}

function ringsOf(label: Label): readonly Ring[] {
  return label.annotation.polygons ?? [];
}

/** The nearest vertex of a polygon within reach of the pointer. */
export function findVertex(label: Label, at: ImagePoint, scale: number): VertexRef | null {
  let best: { ref: VertexRef; distance: number } | null = null;
  for (const [ring, outline] of ringsOf(label).entries()) {
    const { index, distance } = nearestVertex(outline, at.x, at.y);
    if (distance * scale <= REACH_PX && (!best || distance < best.distance)) {
      best = { ref: { id: label.id, ring, index }, distance };
    }
  }
  return best?.ref ?? null;
}

export type EdgePoint = { readonly ring: number; readonly edge: number; readonly at: ImagePoint };

/** The nearest point on an edge of a polygon within reach of the pointer. */
export function findEdge(label: Label, at: ImagePoint, scale: number): EdgePoint | null {
  let best: { point: EdgePoint; distance: number } | null = null;
  for (const [ring, outline] of ringsOf(label).entries()) {
    const { index, distance, at: on } = nearestEdge(outline, at.x, at.y);
    if (distance * scale <= REACH_PX && (!best || distance < best.distance)) {
      best = { point: { ring, edge: index, at: on }, distance };
    }
  }
  return best?.point ?? null;
}

/** The label with another outline; whoever changes an outline answers for it. */
function withRing(label: Label, ring: number, outline: Ring): Label {
  const polygons = ringsOf(label).map((before, i) => (i === ring ? outline : before));
  return { id: label.id, annotation: withPolygons(asHuman(label.annotation), polygons) };
}

export function withMovedVertex(label: Label, { ring, index }: VertexRef, to: ImagePoint, context: ToolContext): Label {
  return withRing(label, ring, moveVertex(ringsOf(label)[ring] as Ring, index, placePoint(to, context.picture)));
}

export function withNewVertex(label: Label, point: EdgePoint, context: ToolContext): Label {
  const at = placePoint(point.at, context.picture);
  return withRing(label, point.ring, insertVertex(ringsOf(label)[point.ring] as Ring, point.edge, at));
}

/** Takes a vertex away: of a triangle nothing is left, so its ring goes, and with the last ring the label. */
export function removeVertexOf(label: Label, { ring, index }: VertexRef): Operation {
  const outline = removeVertex(ringsOf(label)[ring] as Ring, index);
  if (outline) return { kind: "put", ...withRing(label, ring, outline), place: null };
  const others = ringsOf(label).filter((_, i) => i !== ring);
  if (others.length === 0) return { kind: "remove", id: label.id };
  return { kind: "put", id: label.id, annotation: withPolygons(asHuman(label.annotation), others), place: null };
}

/** A vertex that was chosen earlier, if it still is one of the selected polygon. */
export function stillThere(vertex: VertexRef | null, context: ToolContext): VertexRef | null {
  const label = selectedPolygon(context);
  if (!vertex || label?.id !== vertex.id) return null;
  return 2 * vertex.index < (ringsOf(label)[vertex.ring]?.length ?? 0) ? vertex : null;
}
