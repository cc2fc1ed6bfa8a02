import { expect, test } from "vitest";
import { UndoList } from "../../src/editor/undo";
import { EMPTY_DOCUMENT, type LabelDocument, type Operation } from "../../src/labels/annotation";
import { applyOperations } from "../../src/labels/document";
import { box, seeded } from "./world";

const A = box("a", 0, 0, 10, 10);
const B = box("b", 0, 0, 10, 10);

function put(id: string, annotation = A, place: number | null = null): Operation {
  return { kind: "put", id, annotation, place };
}

/** A document with its list, as the editor moves both. */
class History {
  readonly list = new UndoList();
  document: LabelDocument = EMPTY_DOCUMENT;

  make(operations: readonly Operation[], key: string | null = null): this {
    this.list.note(this.document, operations, key);
    this.document = applyOperations(this.document, operations);
    return this;
  }

  undo(): this {
    this.document = applyOperations(this.document, this.list.undo(this.document) ?? []);
    return this;
  }

  redo(): this {
    this.document = applyOperations(this.document, this.list.redo(this.document) ?? []);
    return this;
  }

  get ids(): string {
    return this.document.labels.map((label) => label.id).join("");
  }
}

test("steps go back and forth, and a new step ends the way forth", () => {
  const history = new History()
    .make([put("x")])
    .make([put("y")])
    .make([{ kind: "remove", id: "x" }]);
  expect(history.undo().ids).toBe("xy");
  expect(history.undo().ids).toBe("x");
  expect(history.redo().redo().ids).toBe("y");
  expect(history.undo().make([put("z")]).ids).toBe("xyz");
  expect(history.list.canRedo).toBe(false);
  expect(history.redo().ids).toBe("xyz");
});

test("any number of steps, undone and redone in any order, leads where it should", () => {
  const random = seeded(6);
  const history = new History();
  const states = [history.document];
  let at = 0;
  for (let i = 0; i < 2000; i++) {
    const dice = random();
    if (dice < 0.35 && at > 0) {
      history.undo();
      at--;
    } else if (dice < 0.6 && at < states.length - 1) {
      history.redo();
      at++;
    } else {
      const { labels } = history.document;
      const id = labels[Math.floor(random() * labels.length)]?.id;
      const known = id !== undefined && random() < 0.6;
      history.make([known && random() < 0.5 ? { kind: "remove", id } : put(known ? id : `n${i}`, B, i % 4)]);
      states.length = ++at;
      states.push(history.document);
    }
    expect(history.document).toEqual(states[at]);
    expect([history.list.canUndo, history.list.canRedo]).toEqual([at > 0, at < states.length - 1]);
  }
});

test("steps in a row with one key are one step", () => {
  const history = new History().make([put("x")]);
  history.make([put("x", B)], "nudge").make([put("x", box("c", 1, 1, 2, 2))], "nudge");
  const moved = history.document;
  expect(history.undo().document.labels[0]?.annotation).toBe(A);
  expect(history.redo().document).toEqual(moved);
  expect(history.undo().undo().ids).toBe("");
});

test("another step between two of one key keeps them apart", () => {
  const history = new History()
    .make([put("x")])
    .make([put("x", B)], "nudge")
    .make([put("y")])
    .make([put("x", A)], "nudge");
  expect(history.undo().document.labels[0]?.annotation).toBe(B);
});

test("what someone else removed meanwhile stays removed; a step of nothing else is passed over", () => {
  const history = new History()
    .make([put("x")])
    .make([put("y")])
    .make([put("y", B)]);
  history.document = applyOperations(history.document, [{ kind: "remove", id: "y" }]);
  expect(history.undo().ids).toBe("");
  expect(history.list.canUndo).toBe(false);
});

test("what the user removed comes back where it was, with who saw the picture", () => {
  const history = new History();
  history.document = { labels: ["0", "1", "2"].map((id) => ({ id, annotation: A })), seenBy: null };
  const before = history.document;
  expect(history.make([{ kind: "remove", id: "1" }]).ids).toBe("02");
  expect(history.undo().document).toEqual(before);
  const proposed = { labels: [{ id: "p", annotation: { ...A, origin: "model" as const } }], seenBy: null };
  history.document = proposed;
  expect(history.make([put("x"), { kind: "remove", id: "x" }]).document.seenBy).toBe("human");
  expect(history.undo().document).toEqual(proposed);
});

test("only the last thousand steps are kept", () => {
  const history = new History();
  for (let i = 0; i < 1100; i++) history.make([put(`n${i}`)]);
  let undone = 0;
  while (history.list.canUndo) {
    history.undo();
    undone++;
  }
  expect(undone).toBe(1000);
});
