/**
 * From the pointers, wheel and space bar on the canvas to the editor: the left button, a pen or one finger works with the tool; the
 * middle button or a held space bar moves the picture; two fingers move and zoom it; the wheel zooms where it points, and with Shift
 * turns the tool's dial.
 */
import type { Editor } from "../editor/editor";
import type { PointerStep } from "../editor/tool";
import { type ScreenPoint, screenPoint } from "../geometry/points";
import { toImage, type View } from "../geometry/view";
import { dragView, pinchView, wheelFactor } from "./gestures";

type Mode =
  | { readonly kind: "idle" }
  /** The button that the tool was pressed with: others that are pressed meanwhile mean nothing. */
  | { readonly kind: "tool"; readonly button: number }
  | { readonly kind: "pan"; readonly view: View; readonly from: ScreenPoint }
  | { readonly kind: "pinch"; readonly view: View; readonly from: readonly [ScreenPoint, ScreenPoint] }
  /** After a pinch, until the last finger is lifted. */
  | { readonly kind: "spent" };

const IDLE: Mode = { kind: "idle" };
const LEFT = 0;
const MIDDLE = 1;
const RIGHT = 2;
/** Of `PointerEvent.buttons`. */
const LEFT_BIT = 1;
const RIGHT_BIT = 2;

export class Hand {
  readonly #element: HTMLElement;
  readonly #editor: Editor;
  readonly #fingers = new Map<number, ScreenPoint>();
  readonly #ends = new AbortController();
  #mode: Mode = IDLE;
  #holdsSpace = false;
  #isOver = false;

  constructor(element: HTMLElement, editor: Editor) {
    this.#element = element;
    this.#editor = editor;
    this.#listen();
  }

  close(): void {
    this.#ends.abort();
  }

  #listen(): void {
    const { signal } = this.#ends;
    const element = this.#element;
    element.addEventListener("pointerdown", (event) => this.#down(event), { signal });
    element.addEventListener("pointermove", (event) => this.#move(event), { signal });
    element.addEventListener("pointerup", (event) => this.#up(event), { signal });
    element.addEventListener("pointercancel", (event) => this.#cancel(event), { signal });
    element.addEventListener("pointerenter", () => this.#enter(true), { signal });
    element.addEventListener("pointerleave", () => this.#enter(false), { signal });
    element.addEventListener("blur", () => delete element.dataset.pointed, { signal });
    element.addEventListener("dblclick", (event) => this.#dispatch("double", event, LEFT), { signal });
    element.addEventListener("contextmenu", (event) => event.preventDefault(), { signal });
    // The middle button would start the browser's own scrolling.
    element.addEventListener("mousedown", (event) => event.button === MIDDLE && event.preventDefault(), { signal });
    element.addEventListener("wheel", (event) => this.#wheel(event), { signal, passive: false });
    window.addEventListener("keydown", (event) => this.#key(event, true), { signal });
    window.addEventListener("keyup", (event) => this.#key(event, false), { signal });
    window.addEventListener("blur", () => this.#holdSpace(false), { signal });
    signal.addEventListener(
      "abort",
      this.#editor.subscribe(() => this.#showCursor()),
    );
  }

  #down(event: PointerEvent): void {
    // The ring around what has the focus is for those who came by keys.
    this.#element.dataset.pointed = "";
    this.#element.focus({ preventScroll: true });
    this.#element.setPointerCapture(event.pointerId);
    const at = this.#pointOf(event);
    if (event.pointerType === "touch") {
      this.#fingers.set(event.pointerId, at);
      const fingers = [...this.#fingers.values()];
      if (fingers.length > 1) {
        this.#startPinch(fingers);
        return;
      }
    }
    if (this.#mode.kind !== "idle") return;
    if (event.button === MIDDLE || this.#holdsSpace) {
      this.#setMode({ kind: "pan", view: this.#view(), from: at });
      return;
    }
    // Those beside left and right go back and forward in the browser.
    if (event.button > RIGHT) return;
    this.#setMode({ kind: "tool", button: event.button });
    this.#dispatch("down", event, event.button);
  }

  #startPinch([first, second]: readonly ScreenPoint[]): void {
    if (this.#mode.kind === "tool") this.#editor.dispatch({ kind: "cancel" });
    if (first && second && this.#fingers.size === 2) {
      this.#setMode({ kind: "pinch", view: this.#view(), from: [first, second] });
    }
  }

  #move(event: PointerEvent): void {
    const at = this.#pointOf(event);
    if (this.#fingers.has(event.pointerId)) this.#fingers.set(event.pointerId, at);
    const mode = this.#mode;
    if (mode.kind === "pan") {
      this.#editor.setView(dragView(mode.view, mode.from, at, window.devicePixelRatio));
    } else if (mode.kind === "pinch") {
      const [first, second] = [...this.#fingers.values()];
      if (first && second) this.#editor.setView(pinchView(mode.view, mode.from, [first, second]));
    } else if (mode.kind === "tool") {
      // A fast stroke is drawn through every point that the device reported.
      const steps = event.getCoalescedEvents?.() ?? [];
      for (const step of steps.length > 0 ? steps : [event]) this.#dispatch("move", step, mode.button);
      // A button that is let go while another is held comes as a move.
      if (!(event.buttons & (mode.button === RIGHT ? RIGHT_BIT : LEFT_BIT))) this.#release(event, mode.button);
    } else if (mode.kind === "idle") {
      this.#dispatch("move", event, LEFT);
    }
  }

  #up(event: PointerEvent): void {
    this.#fingers.delete(event.pointerId);
    const mode = this.#mode;
    if (mode.kind === "tool") this.#release(event, mode.button);
    else if (mode.kind === "pinch" || mode.kind === "spent")
      this.#setMode(this.#fingers.size > 0 ? { kind: "spent" } : IDLE);
    else this.#setMode(IDLE);
  }

  #release(event: PointerEvent, button: number): void {
    this.#dispatch("up", event, button);
    this.#setMode(IDLE);
  }

  #cancel(event: PointerEvent): void {
    this.#fingers.delete(event.pointerId);
    if (this.#mode.kind === "tool") this.#editor.dispatch({ kind: "cancel" });
    this.#setMode(this.#fingers.size > 0 ? { kind: "spent" } : IDLE);
  }

  #enter(isOver: boolean): void {
    this.#isOver = isOver;
    if (isOver) return;
    this.#holdSpace(false);
    if (this.#mode.kind === "idle") this.#editor.dispatch({ kind: "leave" });
  }

  #wheel(event: WheelEvent): void {
    event.preventDefault();
    // A drawing hand keeps its picture still.
    if (this.#mode.kind !== "idle") return;
    if (event.shiftKey) this.#turn(event.deltaY || event.deltaX);
    else this.#editor.zoom(this.#pointOf(event), wheelFactor(event));
  }

  /** The tool's dial; browsers give a wheel with Shift as one that turns sideways. */
  #turn(by: number): void {
    if (by !== 0) this.#editor.perform(by < 0 ? "largerBrush" : "smallerBrush");
  }

  #key(event: KeyboardEvent, isDown: boolean): void {
    if (event.code !== "Space") return;
    const isMine = this.#isOver && !isTyping(event.target);
    if (isDown && isMine) event.preventDefault();
    this.#holdSpace(isDown && isMine);
  }

  #holdSpace(holds: boolean): void {
    if (this.#holdsSpace === holds) return;
    this.#holdsSpace = holds;
    this.#showCursor();
  }

  #setMode(mode: Mode): void {
    this.#mode = mode;
    this.#showCursor();
  }

  #showCursor(): void {
    const cursor =
      this.#mode.kind === "pan" ? "grabbing" : this.#holdsSpace ? "grab" : this.#editor.getSnapshot().cursor;
    if (this.#element.style.cursor !== cursor) this.#element.style.cursor = cursor;
  }

  #dispatch(kind: PointerStep["kind"], event: MouseEvent, button: number): void {
    const screen = this.#pointOf(event);
    this.#editor.dispatch({
      kind,
      at: toImage(this.#view(), screen),
      screen,
      button,
      modifiers: { shift: event.shiftKey, ctrl: event.ctrlKey || event.metaKey, alt: event.altKey },
    });
  }

  #view(): View {
    return this.#editor.getSnapshot().view;
  }

  #pointOf(event: MouseEvent): ScreenPoint {
    const { left, top } = this.#element.getBoundingClientRect();
    return screenPoint(event.clientX - left, event.clientY - top);
  }
}

/** Whether what has the focus takes letters itself. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement)
    return true;
  return target instanceof HTMLInputElement && !["checkbox", "radio", "button", "range"].includes(target.type);
}
