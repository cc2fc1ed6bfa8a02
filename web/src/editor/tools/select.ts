/**
 * Chooses labels and changes them: click, Shift and click to toggle, drag a rubber band, drag to move, drag a box's handles or a
 * polygon's vertices. A press decides what a drag would do; a release without a drag is a click.
 */
import { boxBetween, findHandle } from "../../geometry/boxes";
import { type BoxXyxy, distance, type ImagePoint, type ScreenPoint } from "../../geometry/points";
import { pointOf } from "../../geometry/rings";
import type { Label, Operation } from "../../labels/annotation";
import { findLabel } from "../../labels/document";
import { chooseHit } from "../../labels/hits";
import { boundsOf, geometryOf } from "../../labels/shapes";
import {
  CLICK_PX,
  type PointerStep,
  type Preview,
  REACH_PX,
  showing,
  type Tool,
  type ToolContext,
  type ToolStep,
  type VertexRef,
} from "../tool";
import { changedLabels, cursorOf, type Drag, dragOf, previewDrag } from "./drags";
import {
  findEdge,
  findVertex,
  onlySelected,
  removeVertexOf,
  selectedPolygon,
  stillThere,
  withNewVertex,
} from "./vertices";

type Gesture = {
  readonly drag: Drag;
  readonly from: ImagePoint;
  readonly screen: ScreenPoint;
  /** The pointer went further than a click does. */
  readonly dragged: boolean;
  /** What a click, a release without a drag, selects. */
  readonly click: ReadonlySet<string>;
  /** The polygon got a vertex by the press: also without a drag it is changed. */
  readonly inserted: Label | null;
};

export type SelectState = { readonly gesture: Gesture | null; readonly vertex: VertexRef | null };

const IDLE: SelectState = { gesture: null, vertex: null };

export const selectTool: Tool<SelectState> = {
  name: "select",
  initial: IDLE,
  cursor: "default",
  isBusy: (state) => state.gesture !== null,
  step: (state, event, context) => {
    switch (event.kind) {
      case "down":
        return event.button === 0 ? press(event, context) : hover(state, event, context);
      case "move":
        return state.gesture ? drag(state, state.gesture, event, context) : hover(state, event, context);
      case "up":
        return state.gesture && event.button === 0
          ? release(state, state.gesture, event, context)
          : hover(state, event, context);
      case "double":
        return event.button === 0 ? addVertex(state, event, context) : { state };
      case "key":
        return event.key === "delete" ? remove(state, context) : rest(state, context);
      case "cancel":
        return { state: IDLE };
      case "leave":
        return state.gesture ? { state } : rest(state, context);
      default:
        return { state };
    }
  },
};

function press(event: PointerStep, context: ToolContext): ToolStep<SelectState> {
  const { selects, ...begin } = beginOnSelected(event, context) ?? beginOnLabels(event, context);
  const gesture = { ...begin, from: event.at, screen: event.screen, dragged: false };
  const state = { gesture, vertex: begin.drag.kind === "vertex" ? begin.drag.vertex : null };
  return { state, preview: preview(state, gesture, event, context), ...(selects && { selection: selects }) };
}

type Begin = Pick<Gesture, "drag" | "click" | "inserted"> & {
  /** What the press itself selects already. */
  readonly selects?: ReadonlySet<string>;
};

/** A press on a handle, vertex or edge of the one selected label. */
function beginOnSelected(event: PointerStep, context: ToolContext): Begin | null {
  const label = onlySelected(context);
  if (!label || event.modifiers.shift || event.modifiers.ctrl) return null;
  const click = context.selection;
  const geometry = geometryOf(label.annotation);
  if (geometry === "box") {
    const handle = findHandle(boundsOf(label.annotation) as BoxXyxy, event.screen, context.view, REACH_PX);
    return handle && { drag: { kind: "resize", label, handle }, click, inserted: null };
  }
  if (geometry !== "polygons") return null;
  const vertex = findVertex(label, event.at, context.view.scale);
  if (vertex) return { drag: { kind: "vertex", label, vertex }, click, inserted: null };
  const edge = findEdge(label, event.at, context.view.scale);
  if (!edge) return null;
  // A click on the edge keeps the selection, so that the second one of a double click means the same label.
  if (!event.modifiers.alt) return { drag: dragOf([label]), click, inserted: null };
  const grown = withNewVertex(label, edge, context);
  const added = { id: label.id, ring: edge.ring, index: edge.edge + 1 };
  return { drag: { kind: "vertex", label: grown, vertex: added }, click, inserted: grown };
}

/** A press anywhere else: on labels it begins a move, beside them a rubber band. Ctrl begins a band even on a label. */
function beginOnLabels(event: PointerStep, context: ToolContext): Begin {
  const { shift, ctrl } = event.modifiers;
  const hits = hitLabels(event.at, context);
  const top = hits[0];
  if (!top || ctrl) {
    const keeps = shift ? context.selection : new Set<string>();
    return { drag: { kind: "band", keeps }, click: keeps, inserted: null };
  }
  const chosen = hits.find((label) => context.selection.has(label.id));
  if (shift) {
    const hit = chosen ?? top;
    const toggled = new Set(context.selection);
    if (!toggled.delete(hit.id)) toggled.add(hit.id);
    return { drag: { kind: "band", keeps: context.selection }, click: toggled, inserted: null };
  }
  if (!chosen) {
    const selects = new Set([top.id]);
    return { drag: dragOf([top]), click: selects, selects, inserted: null };
  }
  const next = chooseHit(hits, context.selection.size === 1 ? chosen.id : null) as Label;
  const labels = [...context.selection].flatMap((id) => findLabel(context.document, id) ?? []);
  return { drag: dragOf(labels), click: new Set([next.id]), inserted: null };
}

function hitLabels(at: ImagePoint, { index, view, hidden }: ToolContext): Label[] {
  return index.hit(at, REACH_PX / 2 / view.scale, hidden);
}

function drag(state: SelectState, gesture: Gesture, event: PointerStep, context: ToolContext): ToolStep<SelectState> {
  const dragged = gesture.dragged || distance(event.screen, gesture.screen) >= CLICK_PX;
  const moved = { ...gesture, dragged };
  return {
    state: { ...state, gesture: moved },
    preview: preview(state, moved, event, context),
    cursor: cursorOf(gesture.drag),
  };
}

function release(
  state: SelectState,
  gesture: Gesture,
  event: PointerStep,
  context: ToolContext,
): ToolStep<SelectState> {
  const ended = rest({ gesture: null, vertex: state.vertex }, context);
  const { drag, from, dragged, inserted } = gesture;
  if (drag.kind === "band" && dragged) {
    const band = context.index.enclosed(boxBetween(from, event.at), context.hidden);
    return { ...ended, selection: new Set([...drag.keeps, ...band.map((label) => label.id)]) };
  }
  if (!dragged && !inserted) return { ...ended, selection: gesture.click };
  const changed = dragged ? changedLabels(drag, from, event.at, context) : inserted ? [inserted] : [];
  // After a drag, Delete means the label again: only a point that was clicked is chosen.
  return { ...shown(dragged ? null : state.vertex), operations: changed.map((label) => put(label)) };
}

function put({ id, annotation }: Label): Operation {
  return { kind: "put", id, annotation, place: null };
}

function preview(
  { vertex }: SelectState,
  { drag, from, dragged, inserted }: Gesture,
  { at }: PointerStep,
  context: ToolContext,
): Preview | null {
  if (drag.kind === "band") return dragged ? showing({ band: boxBetween(from, at) }) : null;
  if (dragged) return previewDrag(drag, from, at, context);
  return inserted
    ? showing({ vertex, annotations: [inserted], replaces: new Set([inserted.id]) })
    : showing({ vertex });
}

/** Between gestures: what the pointer is over. */
function hover(state: SelectState, event: PointerStep, context: ToolContext): ToolStep<SelectState> {
  const vertex = stillThere(state.vertex, context);
  const begin = beginOnSelected(event, context);
  const idle = { gesture: null, vertex };
  if (begin?.drag.kind === "resize") return { state: idle, preview: showing({}), cursor: cursorOf(begin.drag) };
  if (begin?.drag.kind === "vertex") {
    const { label, vertex: under } = begin.drag;
    const snap = begin.inserted ? pointOf(label.annotation.polygons?.[under.ring] ?? [], under.index) : null;
    const hoveredVertex = begin.inserted ? null : under;
    return { state: idle, preview: showing({ vertex, snap, hoveredVertex }), cursor: snap ? "copy" : "move" };
  }
  const top = hitLabels(event.at, context)[0];
  const cursor = top && (context.selection.has(top.id) ? "move" : "pointer");
  return { state: idle, preview: showing({ vertex, hovered: top?.id ?? null }), ...(cursor && { cursor }) };
}

function rest(state: SelectState, context: ToolContext): ToolStep<SelectState> {
  return shown(stillThere(state.vertex, context));
}

function shown(vertex: VertexRef | null): ToolStep<SelectState> {
  return { state: { gesture: null, vertex }, preview: vertex && showing({ vertex }) };
}

/** A double click on an edge of the selected polygon puts a vertex there. */
function addVertex(state: SelectState, event: PointerStep, context: ToolContext): ToolStep<SelectState> {
  const label = selectedPolygon(context);
  const edge =
    label && !findVertex(label, event.at, context.view.scale) && findEdge(label, event.at, context.view.scale);
  if (!label || !edge) return rest(state, context);
  const vertex = { id: label.id, ring: edge.ring, index: edge.edge + 1 };
  return { ...shown(vertex), operations: [put(withNewVertex(label, edge, context))] };
}

/** Delete means the chosen vertex, else everything that is selected. */
function remove(state: SelectState, context: ToolContext): ToolStep<SelectState> {
  const vertex = stillThere(state.vertex, context);
  const label = vertex && selectedPolygon(context);
  if (vertex && label) return { state: IDLE, operations: [removeVertexOf(label, vertex)] };
  const ids = [...context.selection].filter((id) => findLabel(context.document, id));
  return { state: IDLE, operations: ids.map((id) => ({ kind: "remove", id })), selection: new Set() };
}
