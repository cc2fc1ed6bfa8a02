import { expect, test } from "vitest";
import { chordsOf, type KeyLike, parseChord } from "../../src/editor/chords";

function pressed(key: string, code: string, modifiers: Partial<KeyLike> = {}): KeyLike {
  return { key, code, ctrlKey: false, metaKey: false, shiftKey: false, altKey: false, ...modifiers };
}

const SHIFT = { shiftKey: true };
const CTRL = { ctrlKey: true };

test("a letter is the one that the layout gives, wherever it lies", () => {
  expect(chordsOf(pressed("z", "KeyZ", CTRL))).toEqual(["Ctrl+Z"]);
  expect(chordsOf(pressed("z", "KeyY", CTRL))).toEqual(["Ctrl+Z"]);
  expect(chordsOf(pressed("Z", "KeyZ", { ...CTRL, ...SHIFT }))).toEqual(["Ctrl+Shift+Z"]);
  expect(chordsOf(pressed("z", "KeyZ", { metaKey: true }))).toEqual(["Ctrl+Z"]);
});

test("caps lock is not Shift", () => {
  expect(chordsOf(pressed("B", "KeyB"))).toEqual(["B"]);
});

test("where the layout has no Latin letters the place decides", () => {
  expect(chordsOf(pressed("и", "KeyB")).at(-1)).toBe("B");
  expect(chordsOf(pressed("я", "KeyZ", CTRL)).at(-1)).toBe("Ctrl+Z");
  expect(chordsOf(pressed("β", "KeyB"))).toContain("B");
  // A Mac's Alt makes another letter of it.
  expect(chordsOf(pressed("å", "KeyA", { altKey: true })).at(-1)).toBe("Alt+A");
});

test("a French keyboard's row of digits works without Shift and with it", () => {
  expect(chordsOf(pressed("&", "Digit1"))).toEqual(["&", "1"]);
  expect(chordsOf(pressed("1", "Digit1", SHIFT))).toEqual(["1"]);
  expect(chordsOf(pressed("1", "Numpad1"))).toEqual(["1"]);
});

test("a sign is itself, whatever it takes to type it", () => {
  expect(chordsOf(pressed("?", "Slash", SHIFT))[0]).toBe("?");
  expect(chordsOf(pressed("?", "Minus", SHIFT))[0]).toBe("?");
  expect(chordsOf(pressed("[", "Digit8", { ctrlKey: true, altKey: true }))[0]).toBe("[");
  expect(chordsOf(pressed("ü", "BracketLeft")).at(-1)).toBe("[");
  expect(chordsOf(pressed("+", "BracketRight"))[0]).toBe("+");
  expect(chordsOf(pressed("=", "Equal", CTRL))[0]).toBe("Ctrl+=");
});

test("named keys keep Shift", () => {
  expect(chordsOf(pressed("ArrowLeft", "ArrowLeft", SHIFT))).toEqual(["Shift+ArrowLeft"]);
  expect(chordsOf(pressed("Enter", "NumpadEnter"))).toEqual(["Enter"]);
  expect(chordsOf(pressed(" ", "Space"))).toEqual(["Space"]);
});

test("modifiers alone and a composing input method are no chord; a dead key is the key at its place", () => {
  for (const key of ["Shift", "Control", "Alt", "Meta", "AltGraph", "Process"])
    expect(chordsOf(pressed(key, key))).toEqual([]);
  expect(chordsOf(pressed("Dead", "BracketLeft"))).toEqual(["["]);
  expect(chordsOf(pressed("Dead", "Backquote", SHIFT))).toEqual(["Shift+`"]);
});

test.each([
  ["shift+ctrl+z", "Ctrl+Shift+Z"],
  ["Cmd + Z", "Ctrl+Z"],
  ["arrowLeft", "ArrowLeft"],
  ["Ctrl++", "Ctrl++"],
  ["+", "+"],
  ["option+a", "Alt+A"],
  ["", null],
  ["Ctrl", null],
  ["Shift", null],
  ["hyper+x", null],
  ["Ctrl+", null],
])("'%s' is written %s", (text, chord) => {
  expect(parseChord(text)).toBe(chord);
});
