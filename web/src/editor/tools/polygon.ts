/**
 * Draws polygons: click point after point, or drag with Shift to draw freehand. A click on the first point, Enter or a double click
 * closes; a right click or Backspace drops the last point; Escape drops all.
 */
import { placePoint } from "../../geometry/boxes";
import { crossesItself, dropRepeats, ringOf, simplifyLine } from "../../geometry/outlines";
import { distance, type ImagePoint, type ScreenPoint } from "../../geometry/points";
import { MIN_RING_POINTS, ringArea } from "../../geometry/rings";
import { toScreen } from "../../geometry/view";
import {
  CLICK_PX,
  NO_CATEGORY,
  type PointerStep,
  type Preview,
  REACH_PX,
  showing,
  type Tool,
  type ToolContext,
  type ToolStep,
} from "../tool";

export type PolygonState = {
  readonly points: readonly ImagePoint[];
  /** Where the pointer is: the line to it is shown. */
  readonly pointer: ImagePoint | null;
  /** Index of the point where the freehand stretch began that is being drawn; null: none is. */
  readonly freehandFrom: number | null;
};

const IDLE: PolygonState = { points: [], pointer: null, freehandFrom: null };
/** A freehand line gets a point after so many CSS pixels, and loses those that lie nearer than this to the line without them. */
const FREEHAND_STEP_PX = 2;
const FREEHAND_TOLERANCE_PX = 1;

export const polygonTool: Tool<PolygonState> = {
  name: "polygon",
  initial: IDLE,
  cursor: "crosshair",
  isBusy: (state) => state.points.length > 0,
  step: (state, event, context) => {
    switch (event.kind) {
      case "down":
        return press({ ...state, pointer: placePoint(event.at, context.picture) }, event, context);
      case "move":
        return move({ ...state, pointer: placePoint(event.at, context.picture) }, event, context);
      case "up":
        return release(state, event, context);
      case "double":
        return event.button === 0 ? close(state, context) : show(state, context);
      case "key":
        return event.key === "delete" ? show(dropLast(state), context) : close(state, context);
      case "cancel":
        return { state: IDLE };
      case "leave":
        return show({ ...state, pointer: null }, context);
      default:
        return { state };
    }
  },
};

function press(state: PolygonState, event: PointerStep, context: ToolContext): ToolStep<PolygonState> {
  if (event.button === 2) return show(dropLast(state), context);
  if (event.button !== 0 || !state.pointer) return show(state, context);
  if (context.category === null) return { ...show(state, context), notice: NO_CATEGORY };
  if (wouldClose(state.points, event.screen, context)) return close(state, context);
  const last = state.points.at(-1);
  // The second press of a double click adds no second point.
  const repeats = last !== undefined && distance(toScreen(context.view, last), event.screen) < CLICK_PX;
  const points = repeats ? state.points : [...state.points, state.pointer];
  return show({ ...state, points, freehandFrom: event.modifiers.shift ? points.length - 1 : null }, context);
}

function move(state: PolygonState, event: PointerStep, context: ToolContext): ToolStep<PolygonState> {
  const last = state.points.at(-1);
  if (state.freehandFrom === null || !last || !state.pointer) return show(state, context);
  if (distance(toScreen(context.view, last), event.screen) < FREEHAND_STEP_PX) return show(state, context);
  return show({ ...state, points: [...state.points, state.pointer] }, context);
}

function release(state: PolygonState, event: PointerStep, context: ToolContext): ToolStep<PolygonState> {
  if (state.freehandFrom === null || event.button !== 0) return show(state, context);
  const tolerance = FREEHAND_TOLERANCE_PX / context.view.scale;
  const stretch = simplifyLine(state.points.slice(state.freehandFrom), tolerance);
  const points = [...state.points.slice(0, state.freehandFrom), ...stretch];
  const ended = { ...state, points, freehandFrom: null };
  return stretch.length > 1 && wouldClose(points, event.screen, context) ? close(ended, context) : show(ended, context);
}

/** Whether a click here means the first point, and so closes. */
function wouldClose(points: readonly ImagePoint[], screen: ScreenPoint, { view }: ToolContext): boolean {
  const first = points[0];
  return first !== undefined && points.length >= MIN_RING_POINTS && distance(toScreen(view, first), screen) <= REACH_PX;
}

const FLAT = "An outline needs three points that do not lie on one line: set another one.";
const CANCELS =
  "This outline crosses itself so that its parts cancel out: it has no area. Set another point, or drop the last one with Backspace.";

/** Ends the outline; as long as it has no area, it stays open, and says why. */
function close(state: PolygonState, context: ToolContext): ToolStep<PolygonState> {
  const ring = ringOf(dropRepeats(state.points));
  if (context.category === null) return show(state, context);
  if (ringArea(ring) === 0) return { ...show(state, context), notice: crossesItself(ring) ? CANCELS : FLAT };
  const id = context.makeId();
  return {
    state: { ...IDLE, pointer: state.pointer },
    operations: [{ kind: "put", id, annotation: { category: context.category, polygons: [ring] }, place: null }],
    selection: new Set([id]),
  };
}

function dropLast(state: PolygonState): PolygonState {
  return { ...state, points: state.points.slice(0, -1), freehandFrom: null };
}

function show(state: PolygonState, context: ToolContext): ToolStep<PolygonState> {
  return { state, preview: preview(state, context) };
}

function preview({ points, pointer }: PolygonState, context: ToolContext): Preview | null {
  const first = points[0];
  if (!first || context.category === null) return null;
  const closes = pointer !== null && wouldClose(points, toScreen(context.view, pointer), context);
  const ring = ringOf(pointer && !closes ? [...points, pointer] : points);
  return showing({ rings: [{ ring, closed: closes, category: context.category }], snap: closes ? first : null });
}
