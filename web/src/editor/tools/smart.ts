/**
 * The smart mask: a box around a thing, and the server finds its pixels. Strokes then add to it, or with Alt or the right button take
 * away; each asks anew, one request at a time. Enter keeps the mask, Backspace drops the last stroke, Escape all.
 */
import { placePoint } from "../../geometry/boxes";
import { distance, type ImagePoint } from "../../geometry/points";
import { toScreen } from "../../geometry/view";
import type { MaskRle } from "../../labels/annotation";
import {
  type CutRequest,
  type PointerStep,
  type Stroke,
  showing,
  type Tool,
  type ToolContext,
  type ToolStep,
} from "../tool";
import { type BoxState, boxTool } from "./box";
import { NOTHING_FOUND, previewMask, previewOnce, putMask } from "./masking";

type Cutting = {
  readonly id: string;
  /** What shall be cut out: the box and every stroke that was ended. */
  readonly wanted: CutRequest;
  /** What the server was asked for and did not answer yet. */
  readonly asked: CutRequest | null;
  readonly mask: MaskRle | null;
  /** The stroke that is being drawn. */
  readonly stroke: Stroke | null;
};

export type SmartState = { readonly box: BoxState; readonly cutting: Cutting | null };

const IDLE: SmartState = { box: boxTool.initial, cutting: null };
const RADIUS_PX = 3;
const STEP_PX = 3;

export const smartTool: Tool<SmartState> = {
  name: "smart",
  initial: IDLE,
  cursor: "crosshair",
  isBusy: ({ box, cutting }) => cutting !== null || boxTool.isBusy(box),
  step: (state, event, context) => {
    if (event.kind === "cancel") return { state: IDLE };
    return state.cutting ? correct(state.cutting, event, context) : drawBox(state, event, context);
  },
};

type Event = Parameters<typeof smartTool.step>[1];

/** The box is drawn as any box; where that would put one, it is cut out instead. */
function drawBox(state: SmartState, event: Event, context: ToolContext): ToolStep<SmartState> {
  const { state: box, operations, preview, notice } = boxTool.step(state.box, event, context);
  const drawn = operations?.[0]?.kind === "put" ? operations[0].annotation.box_xyxy : null;
  if (!drawn) return { state: { box, cutting: null }, preview: preview ?? null, ...(notice && { notice }) };
  return ask(
    { id: context.makeId(), wanted: { box: drawn, strokes: [] }, asked: null, mask: null, stroke: null },
    context,
  );
}

function correct(cutting: Cutting, event: Event, context: ToolContext): ToolStep<SmartState> {
  switch (event.kind) {
    case "down":
      return show({ ...cutting, stroke: startStroke(event, context) }, context);
    case "move":
      return show(cutting.stroke ? { ...cutting, stroke: extend(cutting.stroke, event, context) } : cutting, context);
    case "up":
      return cutting.stroke ? endStroke(cutting, cutting.stroke, context) : show(cutting, context);
    case "key":
      return event.key === "delete"
        ? dropLast(cutting, context)
        : finish(cutting, event.key === "finishAsPolygon", context);
    case "cut":
      return take(cutting, event, context);
    default:
      return show(cutting, context);
  }
}

function startStroke({ at, button, modifiers }: PointerStep, { picture, view }: ToolContext): Stroke {
  return { points: [placePoint(at, picture)], radius: RADIUS_PX / view.scale, adds: button === 0 && !modifiers.alt };
}

function extend(stroke: Stroke, { at, screen }: PointerStep, { picture, view }: ToolContext): Stroke {
  const last = stroke.points.at(-1) as ImagePoint;
  if (distance(toScreen(view, last), screen) < STEP_PX) return stroke;
  return { ...stroke, points: [...stroke.points, placePoint(at, picture)] };
}

function endStroke(cutting: Cutting, stroke: Stroke, context: ToolContext): ToolStep<SmartState> {
  const { box, strokes } = cutting.wanted;
  return ask({ ...cutting, wanted: { box, strokes: [...strokes, stroke] }, stroke: null }, context);
}

/** Without a stroke to drop, all is dropped. */
function dropLast(cutting: Cutting, context: ToolContext): ToolStep<SmartState> {
  const { box, strokes } = cutting.wanted;
  if (cutting.stroke) return show({ ...cutting, stroke: null }, context);
  if (strokes.length === 0) return { state: IDLE };
  return ask({ ...cutting, wanted: { box, strokes: strokes.slice(0, -1) } }, context);
}

/** Asks for what is wanted, unless an answer is awaited: then it is asked for after that. */
function ask(cutting: Cutting, context: ToolContext): ToolStep<SmartState> {
  if (cutting.asked) return show(cutting, context);
  return { ...show({ ...cutting, asked: cutting.wanted }, context), asks: cutting.wanted };
}

function take(
  cutting: Cutting,
  { request, mask, problem }: Event & { kind: "cut" },
  context: ToolContext,
): ToolStep<SmartState> {
  if (request !== cutting.asked) return show(cutting, context);
  if (!mask) return { state: IDLE, notice: problem ?? NOTHING_FOUND };
  const answered = { ...cutting, asked: null, mask };
  if (cutting.wanted !== request) return ask(answered, context);
  const shown = show(answered, context);
  return shown.preview?.annotations.length === 0 ? { ...shown, notice: NOTHING_FOUND } : shown;
}

function finish(cutting: Cutting, asPolygon: boolean, context: ToolContext): ToolStep<SmartState> {
  const operation = cutting.asked || !cutting.mask ? null : putMask(cutting.mask, asPolygon, context);
  return operation
    ? { state: IDLE, operations: [operation], selection: new Set([operation.id]) }
    : show(cutting, context);
}

function show(cutting: Cutting, context: ToolContext): ToolStep<SmartState> {
  const { id, wanted, mask, stroke, asked } = cutting;
  const category = context.category ?? "";
  const strokes = stroke ? [...wanted.strokes, stroke] : wanted.strokes;
  const preview = previewOnce(cutting, category, () =>
    showing({ ...previewMask(id, mask, category), band: wanted.box, strokes }),
  );
  return { state: { box: boxTool.initial, cutting }, preview, ...(asked && { cursor: "progress" }) };
}
