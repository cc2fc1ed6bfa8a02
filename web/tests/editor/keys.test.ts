import { expect, test } from "vitest";
import { parseChord } from "../../src/editor/chords";
import {
  ACTIONS,
  type ActionName,
  DEFAULT_BINDINGS,
  findAction,
  findOwner,
  readBindings,
  rebind,
  writeBindings,
} from "../../src/editor/keys";

const NAMES = Object.keys(ACTIONS) as ActionName[];

function pressed(key: string, code: string, ctrlKey = false) {
  return { key, code, ctrlKey, metaKey: false, shiftKey: false, altKey: false };
}

test("no default chord means two things, and each is written as it is read", () => {
  const chords = NAMES.flatMap((action) => [...ACTIONS[action].keys]);
  expect(new Set(chords).size).toBe(chords.length);
  for (const chord of chords) expect(parseChord(chord)).toBe(chord);
});

test("each action has a line for the panel", () => {
  for (const action of NAMES) expect(ACTIONS[action].label).not.toBe("");
});

test("a pressed key finds its action, also by its place", () => {
  expect(findAction(DEFAULT_BINDINGS, pressed("p", "KeyP"))).toBe("polygonTool");
  expect(findAction(DEFAULT_BINDINGS, pressed("з", "KeyP"))).toBe("polygonTool");
  expect(findAction(DEFAULT_BINDINGS, pressed("c", "KeyC", true))).toBe("copy");
  expect(findAction(DEFAULT_BINDINGS, pressed("c", "KeyC"))).toBeNull();
  // What the layout gives goes before the place: here "y" lies where Z is elsewhere.
  expect(findAction(DEFAULT_BINDINGS, pressed("y", "KeyZ", true))).toBe("redo");
});

test("a chord that is taken is a conflict, and nothing changes", () => {
  expect(rebind(DEFAULT_BINDINGS, "boxTool", ["P"])).toEqual({ kind: "conflict", chord: "P", owner: "polygonTool" });
  expect(rebind(DEFAULT_BINDINGS, "boxTool", ["space"])).toEqual({ kind: "impossible", chord: "space" });
  expect(rebind(DEFAULT_BINDINGS, "boxTool", ["hyper+x"])).toMatchObject({ kind: "impossible" });
});

test("another chord takes the place of the old ones, and its own may be given again", () => {
  const bound = rebind(DEFAULT_BINDINGS, "boxTool", ["shift+b", "B", "b"]);
  if (bound.kind !== "bound") throw new Error(bound.kind);
  expect(bound.bindings.boxTool).toEqual(["Shift+B", "B"]);
  const none = rebind(bound.bindings, "boxTool", []);
  expect(none.kind === "bound" && findOwner(none.bindings, "B")).toBeNull();
});

test("only what differs is stored, and it comes back", () => {
  expect(writeBindings(DEFAULT_BINDINGS)).toBe("{}");
  const bound = rebind(DEFAULT_BINDINGS, "boxTool", ["X"]);
  if (bound.kind !== "bound") throw new Error(bound.kind);
  expect(writeBindings(bound.bindings)).toBe('{"boxTool":["X"]}');
  expect(readBindings(writeBindings(bound.bindings))).toEqual(bound.bindings);
});

test("a user's chord wins over another action's default, and nonsense is left out", () => {
  const bindings = readBindings('{"boxTool":["P","hyper+x",7,"Space"],"unknown":["Y"],"fit":"0"}');
  expect(bindings.boxTool).toEqual(["P", "7"]);
  expect(bindings.polygonTool).toEqual([]);
  expect(bindings.category7).toEqual([]);
  expect(bindings.fit).toEqual(["0", "Home"]);
  for (const text of [null, "", "{", "null", "[]", "3"]) expect(readBindings(text)).toEqual(DEFAULT_BINDINGS);
});
