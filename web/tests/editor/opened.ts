/** An editor over a world without a browser, as its tests open, draw in and press keys of it. */
import { createEditor } from "../../src/editor/editor";
import type { PointerStep } from "../../src/editor/tool";
import { imagePoint } from "../../src/geometry/points";
import { toScreen } from "../../src/geometry/view";
import { NO_MODIFIERS } from "./gestures";
import { box, makeWorld, portsOf } from "./world";

export function open(labels = [[], []] as Parameters<typeof makeWorld>[0]) {
  const world = makeWorld(labels);
  const editor = createEditor(portsOf(world));
  editor.setCategories([
    { id: 0, name: "cat", colour: "#ff0000" },
    { id: 1, name: "dog", colour: "#00ff00" },
  ]);
  editor.setCanvas({ width: 400, height: 320 });
  editor.open(world.server.item(0));
  const point = (kind: PointerStep["kind"], x: number, y: number, modifiers = {}) => {
    const at = imagePoint(x, y);
    const screen = toScreen(editor.getSnapshot().view, at);
    editor.dispatch({ kind, at, screen, button: 0, modifiers: { ...NO_MODIFIERS, ...modifiers } });
  };
  const drag = (x0: number, y0: number, x1: number, y1: number) => {
    point("down", x0, y0);
    point("move", (x0 + x1) / 2, (y0 + y1) / 2);
    point("move", x1, y1);
    point("up", x1, y1);
  };
  return { world, editor, point, drag, shown: () => editor.getSnapshot() };
}

export const CAT = { id: "0", annotation: box("cat", 10, 10, 30, 30) };
export const DOG = { id: "1", annotation: box("dog", 50, 10, 70, 30) };
export const PROPOSAL = {
  id: "2",
  annotation: { ...box("dog", 50, 50, 70, 70), origin: "model" as const, confidence: 0.5 },
};

export function press(editor: ReturnType<typeof createEditor>, text: string) {
  const parts = text.split("+");
  const key = parts.at(-1) ?? "";
  const isLetter = /^[A-Z]$/.test(key);
  return editor.press({
    key: isLetter && !parts.includes("Shift") ? key.toLowerCase() : key,
    code: isLetter ? `Key${key}` : key,
    ctrlKey: parts.includes("Ctrl"),
    shiftKey: parts.includes("Shift"),
    altKey: false,
    metaKey: false,
  });
}
