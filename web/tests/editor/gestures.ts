/** Gestures for tests of tools: events at points of the picture, folded through a tool as the editor does it. */

import type {
  CutRequest,
  Modifiers,
  PointerStep,
  Preview,
  ReadPixels,
  Tool,
  ToolEvent,
  ToolKey,
} from "../../src/editor/tool";
import { imagePoint } from "../../src/geometry/points";
import type { MaskRle } from "../../src/geometry/rle";
import { toScreen, type View } from "../../src/geometry/view";
import { type Annotation, EMPTY_DOCUMENT, type LabelDocument, type Operation } from "../../src/labels/annotation";
import { applyOperations } from "../../src/labels/document";
import { LabelIndex } from "../../src/labels/hits";
import { SIZE } from "./world";

export const NO_MODIFIERS: Modifiers = { shift: false, ctrl: false, alt: false };

type Held = Partial<Modifiers> & { readonly button?: number };

/** One tool over one picture; every operation that it asks for is made. */
export class Bench<State> {
  readonly #tool: Tool<State>;
  state: State;
  document: LabelDocument = EMPTY_DOCUMENT;
  selection: ReadonlySet<string> = new Set();
  hidden: ReadonlySet<string> = new Set();
  category: string | null = "cat";
  brushRadius = 3;
  tolerance = 20;
  readPixels: ReadPixels = () => null;
  /** What the server was asked for and did not answer yet. */
  asked: CutRequest[] = [];
  notice: string | undefined;
  view: View = { scale: 1, left: 0, top: 0 };
  preview: Preview | null = null;
  cursor: string | undefined;
  /** The steps of the undo list. */
  readonly steps: (readonly Operation[])[] = [];
  #made = 0;

  constructor(tool: Tool<State>, ...annotations: readonly Annotation[]) {
    this.#tool = tool;
    this.state = tool.initial;
    this.document = { labels: annotations.map((annotation, i) => ({ id: String(i), annotation })), seenBy: null };
  }

  send(event: ToolEvent): this {
    const index = new LabelIndex(SIZE);
    index.update(this.document);
    const { document, view, selection, hidden, category, brushRadius } = this;
    const { tolerance, readPixels } = this;
    const seen = [0, 0, SIZE.width, SIZE.height] as const;
    const held = { view, selection, hidden, category, brushRadius, tolerance, seen, readPixels };
    const context = { document, index, picture: SIZE, ...held };
    const step = this.#tool.step(this.state, event, { ...context, makeId: () => `new${this.#made++}` });
    this.state = step.state;
    this.preview = step.preview ?? null;
    this.cursor = step.cursor;
    this.notice = step.notice;
    if (step.asks) this.asked.push(step.asks);
    if (step.operations && step.operations.length > 0) {
      this.steps.push(step.operations);
      this.document = applyOperations(document, step.operations);
    }
    if (step.selection) this.selection = step.selection;
    return this;
  }

  point(kind: PointerStep["kind"], x: number, y: number, { button = 0, ...held }: Held = {}): this {
    const at = imagePoint(x, y);
    return this.send({ kind, at, screen: toScreen(this.view, at), button, modifiers: { ...NO_MODIFIERS, ...held } });
  }

  click(x: number, y: number, held: Held = {}): this {
    return this.point("down", x, y, held).point("up", x, y, held);
  }

  doubleClick(x: number, y: number): this {
    return this.click(x, y).click(x, y).point("double", x, y);
  }

  /** Through any number of points, with a step at each. */
  drag(points: readonly (readonly [number, number])[], held: Held = {}): this {
    const [first, ...rest] = points;
    const last = points.at(-1);
    if (!first || !last) return this;
    this.point("down", ...first, held);
    for (const point of rest) this.point("move", ...point, held);
    return this.point("up", ...last, held);
  }

  /** The server answers what it was asked first. */
  answer(mask: MaskRle | null, problem?: string): this {
    const request = this.asked.shift() as CutRequest;
    return this.send({ kind: "cut", request, mask, ...(problem && { problem }) });
  }

  key(key: ToolKey): this {
    return this.send({ kind: "key", key });
  }

  cancel(): this {
    return this.send({ kind: "cancel" });
  }

  get isBusy(): boolean {
    return this.#tool.isBusy(this.state);
  }

  get annotations(): readonly Annotation[] {
    return this.document.labels.map((label) => label.annotation);
  }

  get selected(): string {
    return [...this.selection].sort().join(" ");
  }
}
