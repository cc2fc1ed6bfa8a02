/**
 * A drawing tool is a small state machine: a pure function from its state and an event to its next state, what it shows meanwhile
 * and, at the end of a gesture, the operations that change the document. Tools know neither React nor a canvas.
 */
import type { BoxXyxy, ImagePoint, Ring, ScreenPoint, Size } from "../geometry/points";
import type { View } from "../geometry/view";
import type { Annotation, LabelDocument, Operation } from "../labels/annotation";

export type Modifiers = { readonly shift: boolean; readonly ctrl: boolean; readonly alt: boolean };

export type ToolEvent =
  | {
      readonly kind: "down" | "move" | "up" | "double";
      readonly at: ImagePoint;
      readonly screen: ScreenPoint;
      readonly button: number;
      readonly modifiers: Modifiers;
    }
  | { readonly kind: "key"; readonly key: string; readonly modifiers: Modifiers }
  | { readonly kind: "cancel" };

/** What a tool may look at. */
export type ToolContext = {
  readonly document: LabelDocument;
  readonly picture: Size;
  readonly view: View;
  readonly selection: ReadonlySet<string>;
  /** Ids that are hidden now: they are neither drawn nor hit. */
  readonly hidden: ReadonlySet<string>;
  /** The category that new annotations get. */
  readonly category: string;
  readonly makeId: () => string;
};

/** What is drawn above the document while a gesture runs. `replaces` are the ids that it stands for. */
export type Preview = {
  readonly boxes: readonly { readonly box: BoxXyxy; readonly category: string }[];
  readonly rings: readonly { readonly ring: Ring; readonly closed: boolean; readonly category: string }[];
  readonly annotations: readonly { readonly id: string; readonly annotation: Annotation }[];
  readonly replaces: ReadonlySet<string>;
  /** A rubber band of the selection. */
  readonly band: BoxXyxy | null;
  /** The brush under the pointer: its radius in pixels of the picture. */
  readonly brush: { readonly at: ImagePoint; readonly radius: number; readonly erases: boolean } | null;
};

export type ToolStep<State> = {
  readonly state: State;
  readonly preview?: Preview | null;
  /** One step of the undo list; empty or absent where nothing changes. */
  readonly operations?: readonly Operation[];
  readonly selection?: ReadonlySet<string>;
  readonly cursor?: string;
};

export type ToolName = "select" | "box" | "polygon" | "brush" | "eraser";

export type Tool<State> = {
  readonly name: ToolName;
  readonly initial: State;
  readonly step: (state: State, event: ToolEvent, context: ToolContext) => ToolStep<State>;
};
