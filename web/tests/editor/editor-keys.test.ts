import { expect, test } from "vitest";
import { CAT, open, PROPOSAL, press } from "./opened";

test("with the select tool a category key changes what is selected; while drawing only what comes", () => {
  const { editor, drag, shown } = open([[CAT], []]);
  editor.select(["0"]);
  press(editor, "2");
  expect(shown().document.labels[0]?.annotation.category).toBe("dog");
  editor.selectTool("box");
  drag(40, 40, 60, 60);
  press(editor, "1");
  expect(shown().document.labels[1]?.annotation.category).toBe("dog");
  expect(shown().category).toBe("cat");
  expect(press(editor, "9")).toEqual({ action: "category9", done: false });
});

test("arrows move what is selected, else they are the page's; presses in a row are undone together", () => {
  const { editor, shown } = open([[CAT], []]);
  expect(press(editor, "ArrowRight")).toEqual({ action: "right", done: false });
  editor.select(["0"]);
  for (let i = 0; i < 3; i++) expect(press(editor, "ArrowRight")).toEqual({ action: "right", done: true });
  press(editor, "Shift+ArrowDown");
  expect(shown().document.labels[0]?.annotation.box_xyxy).toEqual([13, 20, 33, 40]);
  press(editor, "Ctrl+Z");
  expect(shown().document.labels[0]?.annotation.box_xyxy).toEqual([10, 10, 30, 30]);
  expect(shown().canUndo).toBe(false);
  press(editor, "Ctrl+Shift+Z");
  expect(shown().document.labels[0]?.annotation.box_xyxy).toEqual([13, 20, 33, 40]);
  editor.selectTool("box");
  expect(press(editor, "ArrowRight")).toEqual({ action: "right", done: false });
});

test("what the editor does not do itself is left to the page", () => {
  const { editor } = open();
  const left = ["D", "F", "S", "R", "A", "?"].map((key) => press(editor, key)?.done);
  expect(left).toEqual([false, false, false, false, false, false]);
  expect(press(editor, "Q")).toBeNull();
});

test("keys follow the bindings", () => {
  const { editor, shown } = open();
  editor.setBindings({ ...editor.getBindings(), boxTool: ["X"] });
  expect(press(editor, "B")).toBeNull();
  press(editor, "X");
  expect(shown().tool).toBe("box");
});

test("Enter accepts the selected proposals", () => {
  const { editor, shown } = open([[CAT, PROPOSAL], []]);
  editor.select(["0", "2"]);
  press(editor, "Enter");
  expect(shown().document.labels[1]?.annotation).toMatchObject({ origin: "human", confidence: null });
  expect(shown().selection).toEqual(new Set(["0", "2"]));
  editor.undo();
  expect(shown().document).toEqual({ labels: [CAT, PROPOSAL], seenBy: null });
});

test("Ctrl+Z in the middle of a polygon takes back its last point, not the step before", () => {
  const { editor, point, drag, shown } = open();
  const click = (x: number, y: number) => {
    point("down", x, y);
    point("up", x, y);
  };
  editor.selectTool("box");
  drag(10, 20, 40, 50);
  editor.selectTool("polygon");
  click(60, 10);
  click(80, 10);
  press(editor, "Ctrl+Z");
  click(90, 40);
  click(60, 40);
  press(editor, "Enter");
  expect(shown().document.labels[1]?.annotation.polygons).toEqual([[60, 10, 90, 40, 60, 40]]);
  press(editor, "Ctrl+Z");
  expect(shown().document.labels).toHaveLength(1);
});

test("Escape ends the gesture, then the selection", () => {
  const { editor, point, shown } = open([[CAT], []]);
  editor.select(["0"]);
  point("down", 20, 20);
  point("move", 40, 40);
  press(editor, "Escape");
  expect([shown().isBusy, shown().preview, shown().selection.size]).toEqual([false, null, 1]);
  press(editor, "Escape");
  expect(shown().selection.size).toBe(0);
});

test("the brush grows and shrinks within limits", () => {
  const { editor, shown } = open();
  press(editor, "]");
  expect(shown().brushRadius).toBe(12.5);
  for (let i = 0; i < 99; i++) press(editor, "[");
  expect(shown().brushRadius).toBe(0.5);
});

test("N takes the last drawing tool again", () => {
  const { editor, shown } = open();
  press(editor, "P");
  press(editor, "V");
  press(editor, "N");
  expect(shown().tool).toBe("polygon");
});
