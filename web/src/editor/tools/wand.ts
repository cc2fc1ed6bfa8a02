/**
 * The wand: a click takes what is joined to it by a similar colour, of what the canvas shows. Further clicks add to the mask, or with
 * Alt or the right button take away; the tolerance of the last click may be turned. Enter keeps the mask, Escape drops it.
 */
import { clamp } from "../../geometry/boxes";
import { floodSimilar, type Pixels } from "../../geometry/flood";
import { emptyMask, type Mask } from "../../geometry/masks";
import type { BoxXyxy, ImagePoint, Size } from "../../geometry/points";
import { encodeMask } from "../../geometry/rle";
import type { MaskRle } from "../../labels/annotation";
import {
  NO_CATEGORY,
  type PointerStep,
  showing,
  type Tool,
  type ToolContext,
  type ToolEvent,
  type ToolStep,
} from "../tool";
import { previewMask, previewOnce, putMask } from "./masking";

/** A click, and the pixels around it that it may take. */
type Touch = {
  readonly at: ImagePoint;
  readonly adds: boolean;
  readonly tolerance: number;
  readonly box: BoxXyxy;
  readonly pixels: Pixels;
};
type Taken = {
  readonly id: string;
  readonly touches: readonly Touch[] /** What all touches but the last give. */;
  readonly base: Mask;
  readonly mask: MaskRle;
};

export type WandState = { readonly taken: Taken | null };

const IDLE: WandState = { taken: null };
/** It looks no further from the click than half of this, pixels: beyond, an answer would keep the hand waiting. */
const FARTHEST = 2048;
const NO_PIXELS = "The wand works once the picture is there.";

export const wandTool: Tool<WandState> = {
  name: "wand",
  initial: IDLE,
  cursor: "crosshair",
  isBusy: (state) => state.taken !== null,
  step: (state, event, context) => {
    if (event.kind === "cancel") return { state: IDLE };
    if (event.kind === "down") return touch(state.taken, event, context);
    if (!state.taken) return { state };
    return change(state.taken, event, context);
  },
};

function change(taken: Taken, event: ToolEvent, context: ToolContext): ToolStep<WandState> {
  if (event.kind === "tune") return show(retune(taken, context.tolerance), context);
  if (event.kind !== "key") return show(taken, context);
  if (event.key === "delete") return dropLast(taken, context);
  const operation = putMask(taken.mask, event.key === "finishAsPolygon", context);
  return operation
    ? { state: IDLE, operations: [operation], selection: new Set([operation.id]) }
    : show(taken, context);
}

function touch(taken: Taken | null, event: PointerStep, context: ToolContext): ToolStep<WandState> {
  if (context.category === null) return { state: { taken }, notice: NO_CATEGORY };
  const { picture, tolerance } = context;
  const box = findWindow(event.at, context);
  const isOutside = event.at.x < 0 || event.at.y < 0 || event.at.x >= picture.width || event.at.y >= picture.height;
  const pixels = isOutside ? null : context.readPixels(box);
  if (!pixels) return { ...(taken ? show(taken, context) : { state: IDLE }), ...(!isOutside && { notice: NO_PIXELS }) };
  const made = { at: event.at, adds: event.button === 0 && !event.modifiers.alt, tolerance, box, pixels };
  const touches = [...(taken?.touches ?? []), made];
  return show(take(taken?.id ?? context.makeId(), touches, picture), context);
}

/** Whole pixels of what is seen, not too far from a point. */
function findWindow({ x, y }: ImagePoint, { seen, picture }: ToolContext): BoxXyxy {
  const span = (at: number, low: number, high: number, length: number): [number, number] => [
    clamp(Math.floor(Math.max(low, at - FARTHEST / 2)), 0, length),
    clamp(Math.ceil(Math.min(high, at + FARTHEST / 2)), 0, length),
  ];
  const [left, right] = span(x, seen[0], seen[2], picture.width);
  const [top, bottom] = span(y, seen[1], seen[3], picture.height);
  return [left, top, right, bottom];
}

function take(id: string, touches: readonly Touch[], picture: Size): Taken {
  const base = emptyMask(picture);
  for (const touch of touches.slice(0, -1)) lay(base, touch);
  return takeLast(id, touches, base);
}

function takeLast(id: string, touches: readonly Touch[], base: Mask): Taken {
  const whole = { ...base, data: base.data.slice() };
  lay(whole, touches.at(-1) as Touch);
  return { id, touches, base, mask: encodeMask(whole) };
}

/** Adds what a touch takes to a mask, or takes it away. */
function lay(mask: Mask, { at, adds, tolerance, box: [left, top], pixels }: Touch): void {
  const found = floodSimilar(pixels, Math.floor(at.x) - left, Math.floor(at.y) - top, tolerance);
  for (let y = 0; y < found.height; y++) {
    for (let x = 0; x < found.width; x++) {
      if (found.data[y * found.width + x]) mask.data[(top + y) * mask.width + left + x] = adds ? 1 : 0;
    }
  }
}

function retune(taken: Taken, tolerance: number): Taken {
  const last = taken.touches.at(-1) as Touch;
  return takeLast(taken.id, [...taken.touches.slice(0, -1), { ...last, tolerance }], taken.base);
}

function dropLast(taken: Taken, context: ToolContext): ToolStep<WandState> {
  if (taken.touches.length === 1) return { state: IDLE };
  return show(take(taken.id, taken.touches.slice(0, -1), context.picture), context);
}

function show(taken: Taken, context: ToolContext): ToolStep<WandState> {
  const category = context.category ?? "";
  const preview = previewOnce(taken, category, () => showing(previewMask(taken.id, taken.mask, category)));
  return { state: { taken }, preview };
}
