/**
 * The steps of one picture that can be undone and redone. A step is kept as the operations that take it back; taking it back gives
 * the operations that do it again. They go the way of every edit, so undo is journalled and saved like anything else.
 */
import type { LabelDocument, Operation } from "../labels/annotation";
import { applyOperations, findAdded, invertOperations, rebaseOperations } from "../labels/document";

/** Operations, and the ids that they bring back: others that are gone meanwhile stay gone. */
type Step = {
  readonly operations: readonly Operation[];
  readonly adds: readonly string[];
  readonly key: string | null;
};

const MAX_STEPS = 1000;

export class UndoList {
  #done: Step[] = [];
  #undone: Step[] = [];

  get canUndo(): boolean {
    return this.#done.length > 0;
  }

  get canRedo(): boolean {
    return this.#undone.length > 0;
  }

  /**
   * Notes a step that is about to be made on a document. Steps in a row with the same key count as one, such as the presses of an
   * arrow key: the first one's way back is the way back of all.
   */
  note(document: LabelDocument, operations: readonly Operation[], key: string | null = null): void {
    this.#undone = [];
    if (key !== null && this.#done.at(-1)?.key === key) return;
    this.#done.push(wayBack(document, operations, key));
    if (this.#done.length > MAX_STEPS) this.#done.shift();
  }

  /** The operations that take the last step back; null where there is none. */
  undo(document: LabelDocument): readonly Operation[] | null {
    return exchange(this.#done, this.#undone, document);
  }

  redo(document: LabelDocument): readonly Operation[] | null {
    return exchange(this.#undone, this.#done, document);
  }
}

/** Takes the last step that still does something, and notes on the other list how to take that back. */
function exchange(from: Step[], to: Step[], document: LabelDocument): readonly Operation[] | null {
  for (let step = from.pop(); step; step = from.pop()) {
    const operations = rebaseOperations(document, step.operations, step.adds);
    if (operations.length === 0) continue;
    to.push(wayBack(document, operations, null));
    return operations;
  }
  return null;
}

function wayBack(document: LabelDocument, operations: readonly Operation[], key: string | null): Step {
  const inverse = invertOperations(document, operations);
  return { operations: inverse, adds: findAdded(applyOperations(document, operations), inverse), key };
}
