/**
 * A drawing tool is a small state machine: a pure function from its state and an event to its next state, what it shows meanwhile
 * and, at the end of a gesture, the operations that change the document. Tools know neither React nor a canvas.
 */

import type { Pixels } from "../geometry/flood";
import type { Mask } from "../geometry/masks";
import type { BoxXyxy, ImagePoint, Ring, ScreenPoint, Size } from "../geometry/points";
import type { View } from "../geometry/view";
import type { Annotation, LabelDocument, MaskRle, Operation } from "../labels/annotation";
import type { LabelIndex } from "../labels/hits";

export type Modifiers = { readonly shift: boolean; readonly ctrl: boolean; readonly alt: boolean };

export type PointerStep = {
  /** "double" comes after the second "down" and "up" of a double click. */
  readonly kind: "down" | "move" | "up" | "double";
  readonly at: ImagePoint;
  readonly screen: ScreenPoint;
  /** 0 left (or touch, pen), 2 right; the stage keeps the middle one for panning. */
  readonly button: number;
  readonly modifiers: Modifiers;
};

/** What the keys mean to a tool, whichever keys are bound: close the outline; drop the last point or what is chosen. */
export type ToolKey = "finish" | "finishAsPolygon" | "delete";

/** A line drawn over pixels that belong to a thing, or do not; one point is a dab. */
export type Stroke = { readonly points: readonly ImagePoint[]; readonly radius: number; readonly adds: boolean };

/** What a tool wants to know from the server: the mask of the thing in a box. The same object comes back with the answer. */
export type CutRequest = { readonly box: BoxXyxy; readonly strokes: readonly Stroke[] };

/** Of pixels of the picture as it is shown, whole pixels within it; null where they cannot be had. */
export type ReadPixels = (box: BoxXyxy) => Pixels | null;

export type ToolEvent =
  | PointerStep
  | { readonly kind: "key"; readonly key: ToolKey }
  /** Escape, another tool, another picture: the gesture ends without a trace. */
  | { readonly kind: "cancel" }
  /** The pointer left the canvas, between gestures. */
  | { readonly kind: "leave" }
  /** What was asked for: a mask, or null and why there is none. */
  | { readonly kind: "cut"; readonly request: CutRequest; readonly mask: MaskRle | null; readonly problem?: string }
  /** The wand's tolerance is another one. */
  | { readonly kind: "tune" };

/** What a tool may look at. */
export type ToolContext = {
  readonly document: LabelDocument;
  /** Finds the document's labels by place. */
  readonly index: LabelIndex;
  readonly picture: Size;
  readonly view: View;
  readonly selection: ReadonlySet<string>;
  /** Ids that are hidden now: they are neither drawn nor hit. */
  readonly hidden: ReadonlySet<string>;
  /** The category that new annotations get; null: there is none yet, and drawing does nothing. */
  readonly category: string | null;
  /** Pixels of the picture. */
  readonly brushRadius: number;
  /** By how many of 255 levels a colour may differ that the wand takes. */
  readonly tolerance: number;
  /** The part of the picture that the canvas shows. */
  readonly seen: BoxXyxy;
  readonly readPixels: ReadPixels;
  readonly makeId: () => string;
};

export type VertexRef = { readonly id: string; readonly ring: number; readonly index: number };

/** What is drawn above the document while a gesture runs, or under a pointer that only hovers. */
export type Preview = {
  readonly boxes: readonly { readonly box: BoxXyxy; readonly category: string }[];
  readonly rings: readonly { readonly ring: Ring; readonly closed: boolean; readonly category: string }[];
  /** Labels as they would become; they stand for the document's labels of the same id. */
  readonly annotations: readonly { readonly id: string; readonly annotation: Annotation }[];
  /** Ids of the document that are not drawn meanwhile, because the preview stands for them. */
  readonly replaces: ReadonlySet<string>;
  /** A rubber band of the selection. */
  readonly band: BoxXyxy | null;
  /** The brush under the pointer: its radius in pixels of the picture. */
  readonly brush: { readonly at: ImagePoint; readonly radius: number; readonly erases: boolean } | null;
  /** A mask that is being painted: the same pixels in every preview of a stroke, changed in place within `dirty`. */
  readonly mask: { readonly pixels: Mask; readonly dirty: BoxXyxy | null; readonly category: string } | null;
  /** Lines that tell what belongs to a thing, and what does not. */
  readonly strokes: readonly Stroke[];
  /** The vertex that is chosen, and the one under the pointer. */
  readonly vertex: VertexRef | null;
  readonly hoveredVertex: VertexRef | null;
  /** The label that a click would choose. */
  readonly hovered: string | null;
  /** A point that the next click snaps to: the first of a polygon that would be closed, or a new vertex on an edge. */
  readonly snap: ImagePoint | null;
  /** Lines across the picture through the pointer, to place a box. */
  readonly crosshair: ImagePoint | null;
};

export const EMPTY_PREVIEW: Preview = {
  boxes: [],
  rings: [],
  annotations: [],
  replaces: new Set(),
  band: null,
  brush: null,
  mask: null,
  strokes: [],
  vertex: null,
  hoveredVertex: null,
  hovered: null,
  snap: null,
  crosshair: null,
};

export function showing(parts: Partial<Preview>): Preview {
  return { ...EMPTY_PREVIEW, ...parts };
}

export type ToolStep<State> = {
  readonly state: State;
  /** Null or absent: nothing is shown. */
  readonly preview?: Preview | null;
  /** One step of the undo list; empty or absent where nothing changes. */
  readonly operations?: readonly Operation[];
  /** Absent: it stays. */
  readonly selection?: ReadonlySet<string>;
  /** A CSS cursor; absent: the tool's own. */
  readonly cursor?: string;
  /** Why nothing happened, in words. */
  readonly notice?: string;
  /** What the server shall be asked; it answers with an event. */
  readonly asks?: CutRequest;
};

export const NO_CATEGORY = "There is no category yet. Add the first one on the right, then draw.";

export type ToolName = "select" | "box" | "polygon" | "smart" | "wand" | "brush" | "eraser";

export type Tool<State> = {
  readonly name: ToolName;
  readonly initial: State;
  readonly cursor: string;
  /** Whether a gesture runs, so that Escape and other keys belong to it. */
  readonly isBusy: (state: State) => boolean;
  readonly step: (state: State, event: ToolEvent, context: ToolContext) => ToolStep<State>;
};

/** How near, in CSS pixels, the pointer must come to a handle, vertex or edge. */
export const REACH_PX = 8;
/** A pointer that moved less than this between down and up clicked. */
export const CLICK_PX = 4;

/** Whether two previews look the same, as far as can be told without looking into shapes. */
export function samePreview(a: Preview | null, b: Preview | null): boolean {
  if (a === b) return true;
  if (!a || !b || b.mask) return false;
  return (Object.keys(EMPTY_PREVIEW) as (keyof Preview)[]).every((key) => sameFlat(a[key], b[key]));
}

/** Equal, or records of equal numbers and texts, such as points. */
function sameFlat(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || !a || !b || Array.isArray(a) || a instanceof Set) return false;
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const keys = Object.keys(left);
  return keys.length === Object.keys(right).length && keys.every((key) => left[key] === right[key]);
}
