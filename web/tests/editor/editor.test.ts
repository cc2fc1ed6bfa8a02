import { expect, test } from "vitest";
import { createEditor } from "../../src/editor/editor";
import { NO_MODIFIERS, type PointerStep } from "../../src/editor/tool";
import { imagePoint } from "../../src/geometry/points";
import { toScreen } from "../../src/geometry/view";
import { makeWorld, portsOf } from "./world";

function open(labels = [[], []] as Parameters<typeof makeWorld>[0]) {
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

test("a drawn box is one step that is saved, undone and redone", async () => {
  const { world, editor, drag, shown } = open();
  editor.selectTool("box");
  drag(10, 20, 40, 50);
  expect(shown().document.labels.map((label) => label.annotation)).toEqual([
    { category: "cat", box_xyxy: [10, 20, 40, 50] },
  ]);
  expect(shown().sending).toEqual({ kind: "saving", waiting: 1 });
  await world.clock.pass(10);
  expect(shown().sending).toEqual({ kind: "saved" });
  expect(world.server.picture(0).document).toEqual(shown().document);
  editor.undo();
  expect(shown().document).toEqual({ labels: [], seenBy: null });
  editor.redo();
  await world.clock.pass(10);
  expect(world.server.picture(0).document).toEqual(shown().document);
  expect(world.server.picture(0).journal).toHaveLength(3);
});
