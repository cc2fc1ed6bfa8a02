/** Draws boxes: drag from corner to corner, or click one corner and then the other. */
import { placePoint, spanFrom } from "../../geometry/boxes";
import { type BoxXyxy, distance, type ImagePoint, type ScreenPoint, type Size } from "../../geometry/points";
import { CLICK_PX, NO_CATEGORY, type PointerStep, showing, type Tool, type ToolContext, type ToolStep } from "../tool";

export type BoxState = {
  /** The first corner; null between boxes. */
  readonly from: { readonly at: ImagePoint; readonly screen: ScreenPoint } | null;
  /** The first corner was clicked: the next click sets the second. */
  readonly anchored: boolean;
};

const IDLE: BoxState = { from: null, anchored: false };
const MIN_SIDE = 1;

export const boxTool: Tool<BoxState> = {
  name: "box",
  initial: IDLE,
  cursor: "crosshair",
  isBusy: (state) => state.from !== null,
  step: (state, event, context) => {
    switch (event.kind) {
      case "down":
        return press(state, event, context);
      case "move":
        return { state, preview: preview(state, event.at, context) };
      case "up":
        return release(state, event, context);
      case "cancel":
        return { state: IDLE };
      case "leave":
        return state.from ? { state } : { state: IDLE };
      default:
        return { state };
    }
  },
};

function press(state: BoxState, event: PointerStep, context: ToolContext): ToolStep<BoxState> {
  if (event.button !== 0) return { state: IDLE, preview: preview(IDLE, event.at, context) };
  const shown = preview(state, event.at, context);
  if (context.category === null) return { state, preview: shown, notice: NO_CATEGORY };
  if (state.from) return { state, preview: shown };
  const started = { from: { at: placePoint(event.at, context.picture), screen: event.screen }, anchored: false };
  return { state: started, preview: preview(started, event.at, context) };
}

function release(state: BoxState, event: PointerStep, context: ToolContext): ToolStep<BoxState> {
  if (!state.from || event.button !== 0 || context.category === null)
    return { state, preview: preview(state, event.at, context) };
  if (distance(event.screen, state.from.screen) < CLICK_PX) {
    const anchored = { ...state, anchored: true };
    return { state: anchored, preview: preview(anchored, event.at, context) };
  }
  const id = context.makeId();
  const box = drawnBox(state.from.at, event.at, context.picture);
  return {
    state: IDLE,
    preview: preview(IDLE, event.at, context),
    operations: [{ kind: "put", id, annotation: { category: context.category, box_xyxy: box }, place: null }],
    selection: new Set([id]),
  };
}

/** The box between two corners, inside the picture and at least a pixel wide and high. */
function drawnBox(from: ImagePoint, to: ImagePoint, picture: Size): BoxXyxy {
  const corner = placePoint(to, picture);
  const [x0, x1] = spanFrom(from.x, corner.x, picture.width, MIN_SIDE);
  const [y0, y1] = spanFrom(from.y, corner.y, picture.height, MIN_SIDE);
  return [x0, y0, x1, y1];
}

function preview(state: BoxState, at: ImagePoint, { category, picture }: ToolContext) {
  const crosshair = placePoint(at, picture);
  if (!state.from || category === null) return showing({ crosshair });
  return showing({ crosshair, boxes: [{ box: drawnBox(state.from.at, at, picture), category }] });
}
