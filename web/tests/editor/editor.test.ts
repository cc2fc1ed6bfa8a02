import { expect, test } from "vitest";
import { createEditor } from "../../src/editor/editor";
import { screenPoint } from "../../src/geometry/points";
import { findViewer } from "../../src/labels/document";
import { CAT, DOG, open, PROPOSAL, press } from "./opened";
import { box, portsOf } from "./world";

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

test("undo acts in its own picture only, and a picture keeps its steps while others are open", async () => {
  const { world, editor, drag, shown } = open();
  editor.selectTool("box");
  drag(10, 20, 40, 50);
  editor.open(world.server.item(1));
  expect(shown().canUndo).toBe(false);
  editor.undo();
  expect(shown().document.labels).toEqual([]);
  await world.clock.pass(10);
  editor.open(world.server.item(0));
  expect([shown().document.labels.length, shown().canUndo]).toEqual([1, true]);
  editor.undo();
  expect(shown().document.labels).toEqual([]);
});

test("a snapshot changes when it changes, and who subscribed is told", () => {
  const { editor, shown } = open();
  const before = shown();
  expect(shown()).toBe(before);
  let told = 0;
  const stop = editor.subscribe(() => told++);
  editor.selectTool("box");
  expect(shown()).not.toBe(before);
  expect(told).toBeGreaterThan(0);
  stop();
  const heard = told;
  editor.selectTool("select");
  expect(told).toBe(heard);
});

test("a pointer that hovers over nothing new tells nobody", () => {
  const { editor, point } = open([[{ id: "0", annotation: box("cat", 10, 10, 60, 60) }], []]);
  point("move", 20, 20);
  let told = 0;
  editor.subscribe(() => told++);
  point("move", 25, 25);
  point("move", 30, 25);
  expect(told).toBe(0);
});

test("another tool and another picture end a gesture without a trace", () => {
  const { world, editor, point, shown } = open();
  editor.selectTool("polygon");
  point("down", 10, 10);
  expect(shown().isBusy).toBe(true);
  editor.selectTool("box");
  expect(shown().isBusy).toBe(false);
  point("down", 10, 10);
  editor.open(world.server.item(1));
  expect([shown().isBusy, shown().preview, shown().tool]).toEqual([false, null, "box"]);
  point("up", 50, 50);
  expect(shown().document.labels).toEqual([]);
});

test("a vertex that was chosen in one picture is not deleted in another", () => {
  const square = { id: "0", annotation: { category: "cat", polygons: [[10, 10, 50, 10, 50, 50, 10, 50]] } };
  const { world, editor, point, shown } = open([[square], [square]]);
  editor.select(["0"]);
  point("down", 50, 50);
  point("up", 50, 50);
  expect(shown().preview?.vertex).toEqual({ id: "0", ring: 0, index: 2 });
  editor.open(world.server.item(1));
  editor.select(["0"]);
  press(editor, "Delete");
  expect(shown().document.labels).toEqual([]);
});

test("copies go into another picture where they were, into the same one beside", async () => {
  const { world, editor, shown } = open([[CAT, DOG], []]);
  expect(shown().canPaste).toBe(false);
  editor.select(["0"]);
  press(editor, "Ctrl+C");
  press(editor, "Ctrl+V");
  press(editor, "Ctrl+V");
  const shift = Math.round(12 / shown().view.scale);
  const lefts = shown().document.labels.map((label) => label.annotation.box_xyxy?.[0]);
  expect(lefts).toEqual([10, 50, 10 + shift, 10 + 2 * shift]);
  expect(shown().selection).toEqual(new Set([shown().document.labels[3]?.id]));
  editor.select(["1"]);
  editor.copy();
  editor.open(world.server.item(1));
  editor.paste();
  expect(shown().document.labels.map((label) => label.annotation.box_xyxy)).toEqual([[50, 10, 70, 30]]);
  expect(shown().document.labels[0]?.id).not.toBe("1");
});

test("hidden labels are neither selected nor hit, and drawing shows all again", () => {
  const { editor, point, drag, shown } = open([[CAT, DOG], []]);
  editor.select(["0", "1"]);
  editor.toggleHidden(["0"]);
  expect([shown().hidden, shown().selection]).toEqual([new Set(["0"]), new Set(["1"])]);
  point("down", 20, 20);
  point("up", 20, 20);
  expect(shown().selection.size).toBe(0);
  press(editor, "H");
  expect([shown().hidden, shown().allHidden]).toEqual([new Set(["0", "1"]), true]);
  press(editor, "H");
  expect(shown().hidden).toEqual(new Set(["0"]));
  press(editor, "H");
  editor.selectTool("box");
  drag(30, 40, 60, 60);
  expect([shown().allHidden, shown().hidden.size]).toEqual([false, 0]);
});

test("a picture that a person went through is done, once", async () => {
  const { world, editor, shown } = open([[PROPOSAL], []]);
  editor.markDone();
  expect(shown().document.seenBy).toBe("human");
  editor.markDone();
  await world.clock.pass(10);
  expect(world.server.picture(0).journal).toHaveLength(1);
  editor.undo();
  expect(shown().document).toEqual({ labels: [PROPOSAL], seenBy: null });
});

test("attributes of a picture are saved, undone, and stay apart from who looked", async () => {
  const { world, editor, shown } = open([[PROPOSAL], []]);
  editor.setAttribute("line", "3");
  editor.setAttribute("line", "3");
  editor.setAttribute("absent", null);
  expect(shown().document).toEqual({ labels: [PROPOSAL], seenBy: null, attributes: { line: "3" } });
  await world.clock.pass(10);
  expect(world.server.picture(0).journal).toHaveLength(1);
  expect(world.server.item(0).attributes).toEqual({ line: "3" });
  editor.setAttribute("line", null);
  editor.undo();
  expect(shown().document.attributes).toEqual({ line: "3" });
  editor.undo();
  expect("attributes" in shown().document).toBe(false);
  editor.open(world.server.item(1));
  editor.open(world.server.item(0));
  await world.clock.pass(10);
  expect(world.server.item(0).attributes).toBeUndefined();
});

test("an attribute and another's label, set at the same moment, are both kept", async () => {
  const { world, editor, shown } = open();
  const other = createEditor(portsOf(world));
  other.open(world.server.item(0));
  other.setAttribute("line", "3");
  await world.clock.pass(10);
  editor.setAttribute("day", "28");
  await world.clock.pass(10);
  expect(shown().document.attributes).toEqual({ day: "28", line: "3" });
  expect(world.server.item(0).attributes).toEqual({ day: "28", line: "3" });
});

test("proposals of a model come in, replace earlier ones, and are no one's work", () => {
  const { editor, shown } = open([[PROPOSAL], []]);
  editor.putProposals([box("cat", 1, 1, 9, 9)]);
  expect(shown().document.labels.map((label) => label.annotation)).toEqual([
    { ...box("cat", 1, 1, 9, 9), origin: "model" },
  ]);
  expect(findViewer(shown().document)).toBe("model");
});

test("the labels of another picture are copied as a person's", () => {
  const { editor, shown } = open();
  editor.putCopies([CAT.annotation, PROPOSAL.annotation]);
  expect(shown().document.labels.map((label) => label.annotation.origin)).toEqual(["human", "human"]);
  editor.putCopies([box("far", 500, 500, 510, 510)]);
  expect(shown().notice).toBe("Nothing of what was copied lies inside this picture.");
  editor.dismissNotice();
  expect(shown().notice).toBeNull();
});

test("labels that are carried on are those of tracks in both frames, once, and selected", () => {
  const { editor, shown } = open([[CAT, { id: "p", annotation: PROPOSAL.annotation }], []]);
  editor.select([CAT.id]);
  const [carried, ...others] = editor.startTracks();
  expect(others).toEqual([]);
  expect(carried?.attributes?.track_id).toHaveLength(10);
  expect(shown().document.labels[0]?.annotation).toEqual(carried);
  expect(editor.startTracks()).toEqual([carried]);
  editor.deleteSelection();
  editor.carryOn(carried ? [carried] : []);
  editor.carryOn(carried ? [carried] : []);
  const found = shown().document.labels.filter(({ annotation }) => annotation.attributes?.track_id);
  expect(found.map(({ annotation }) => annotation)).toEqual([carried]);
  expect([...shown().selection]).toEqual(found.map(({ id }) => id));
  expect(shown().tool).toBe("select");
  editor.select([]);
  expect(editor.startTracks()).toEqual([]);
});

test("a copy in its own picture is another object, one in another frame is the same", () => {
  const { editor, shown, world } = open([[CAT], []]);
  editor.select([CAT.id]);
  const [carried] = editor.startTracks();
  editor.copy();
  editor.paste();
  expect(shown().document.labels.map(({ annotation }) => annotation.attributes?.track_id)).toEqual([
    carried?.attributes?.track_id,
    undefined,
  ]);
  editor.select([CAT.id]);
  editor.copy();
  editor.open(world.server.item(1));
  editor.paste();
  expect(shown().document.labels[0]?.annotation.attributes).toEqual(carried?.attributes);
});

test("an outline that crosses itself is said, and kept", () => {
  const { editor, point, shown } = open();
  editor.selectTool("polygon");
  for (const [x = 0, y = 0] of [
    [10, 10],
    [50, 50],
    [50, 10],
    [10, 60],
  ]) {
    point("down", x, y);
    point("up", x, y);
  }
  press(editor, "Enter");
  expect(shown().document.labels).toHaveLength(1);
  expect(shown().notice).toMatch(/crosses itself/);
});

test("why a tool does nothing is said, until the next step", () => {
  const { editor, point, drag, shown } = open([[{ id: "0", annotation: box("cat", 10, 10, 40, 40) }]]);
  editor.selectTool("eraser");
  point("down", 60, 60);
  expect(shown().notice).toBeNull();
  point("down", 20, 20);
  expect(shown().notice).toContain("masks");
  editor.selectTool("box");
  drag(50, 50, 60, 60);
  expect(shown().notice).toBeNull();
  editor.setCategories([]);
  for (const tool of ["box", "polygon", "brush"] as const) {
    editor.selectTool(tool);
    point("down", 70, 20);
    expect(shown().notice).toContain("no category");
    editor.dismissNotice();
  }
});

test("labels are chosen one after the other, the topmost first; after a deleted one comes the one in its place", () => {
  const labels = ["a", "b", "c"].map((id, i) => ({ id, annotation: box("cat", 10 * i, 0, 10 * i + 5, 5) }));
  const { world, editor, shown } = open([labels, labels]);
  const chosen = () => [...shown().selection].join();
  const step = (action: "nextLabel" | "previousLabel") => {
    editor.perform(action);
    return chosen();
  };
  expect([step("nextLabel"), step("nextLabel"), step("nextLabel"), step("nextLabel")]).toEqual(["c", "b", "a", "c"]);
  expect([step("previousLabel"), step("previousLabel")]).toEqual(["a", "b"]);
  editor.deleteSelection();
  expect(step("nextLabel")).toBe("a");
  editor.toggleHidden(["a"]);
  expect(step("nextLabel")).toBe("c");
  editor.open(world.server.item(1));
  expect(step("previousLabel")).toBe("a");
});

test("a category that is renamed meanwhile has its new name everywhere: on labels, in undone steps and in copies", async () => {
  const { world, editor, shown } = open([[{ id: "0", annotation: box("cat", 10, 10, 40, 40) }], []]);
  const loadedAhead = world.server.item(1);
  editor.select(["0"]);
  editor.copy();
  editor.deleteSelection();
  await world.clock.pass(10);
  editor.undo();
  editor.nudge(1, 0);
  await world.clock.pass(10);
  world.server.refuses = ({ operations }) =>
    operations.some((one) => one.kind === "put" && one.annotation.category === "cat") ? "no category cat" : null;
  editor.setCategories([
    { id: 0, name: "lion", colour: "#ff0000" },
    { id: 1, name: "dog", colour: "#00ff00" },
  ]);
  const names = () => shown().document.labels.map((label) => label.annotation.category);
  expect([names(), shown().category]).toEqual([["lion"], "lion"]);
  await world.clock.pass(10);
  editor.undo();
  expect(names()).toEqual(["lion"]);
  editor.open({ ...loadedAhead, labels: [{ id: "7", annotation: box("cat", 0, 0, 5, 5) }] });
  expect(names()).toEqual(["lion"]);
  editor.paste();
  expect(names()).toEqual(["lion", "lion"]);
  await world.clock.pass(10);
  expect(shown().sending).toEqual({ kind: "saved" });
});

test("the server's word changes what is shown, and leaves what it does not speak of", async () => {
  const { world, editor, shown } = open([[CAT, DOG], []]);
  world.server.edit(0, [{ kind: "remove", id: "0" }]);
  editor.select(["0", "1"]);
  editor.recategorise(["1"], "cat");
  const mine = shown().document.labels[1];
  await world.clock.pass(10);
  expect(shown().document.labels).toEqual([mine]);
  expect(shown().document.labels[0]).toBe(mine);
  expect(shown().selection).toEqual(new Set(["1"]));
  expect(shown().index.grid.size).toBe(1);
});

test("the same picture again keeps the steps, the selection and the view", () => {
  const { world, editor, shown } = open([[CAT], []]);
  editor.select(["0"]);
  editor.nudge(1, 0);
  editor.pan(3, 4);
  const { view, document } = shown();
  editor.open(world.server.item(0));
  expect(shown()).toMatchObject({ view, canUndo: true, selection: new Set(["0"]) });
  expect(shown().document).toBe(document);
});

test("an answer to an edit gives no new objects", async () => {
  const { world, editor, shown } = open([[CAT, DOG], []]);
  editor.select(["0"]);
  editor.nudge(1, 0);
  const { document } = shown();
  await world.clock.pass(10);
  expect(shown().sending.kind).toBe("saved");
  expect(shown().document).toBe(document);
});

test("a refused step is taken back, and the page says why", async () => {
  const { world, editor, shown } = open([[CAT], []]);
  world.server.refuses = () => "category cat is unknown";
  editor.select(["0"]);
  editor.nudge(1, 0);
  await world.clock.pass(10);
  expect(shown().sending).toMatchObject({ kind: "refused", message: "category cat is unknown" });
  expect(shown().document.labels[0]?.annotation.box_xyxy).toEqual([10, 10, 30, 30]);
  editor.dismissRefused();
  expect(shown().sending).toEqual({ kind: "saved" });
});

test("what was not sent is there after the page was closed and opened again", async () => {
  const { world, editor, drag, shown } = open();
  world.server.plan = () => "drop";
  editor.selectTool("box");
  drag(10, 20, 40, 50);
  await world.clock.pass(10);
  expect(editor.hasUnsent()).toBe(true);
  editor.close();
  const again = createEditor(portsOf(world));
  again.open(world.server.item(0));
  expect(again.getSnapshot().document).toEqual(shown().document);
});

test("the view fits the picture until it is moved, and again when another one opens", () => {
  const { world, editor, shown } = open();
  const fitted = shown().view;
  expect(fitted).toEqual({ scale: 3.6, left: 20, top: 16 });
  editor.setCanvas({ width: 432, height: 400 });
  expect(shown().view.scale).toBe(4);
  editor.zoom(screenPoint(100, 100), 2);
  const zoomed = shown().view;
  editor.setCanvas({ width: 400, height: 320 });
  expect(shown().view).toBe(zoomed);
  editor.open(world.server.item(1));
  expect(shown().view).toEqual(fitted);
  press(editor, "=");
  expect(shown().view.scale).toBeCloseTo(4.5, 9);
  press(editor, "0");
  expect(shown().view).toEqual(fitted);
});

test("labels are brought into the middle of the canvas", () => {
  const { editor, shown } = open([[CAT, DOG], []]);
  editor.zoom(screenPoint(0, 0), 8);
  editor.showLabels(["1"]);
  const { view } = shown();
  expect(60 * view.scale + view.left).toBeCloseTo(200, 9);
  expect(20 * view.scale + view.top).toBeCloseTo(160, 9);
  expect(20 * view.scale).toBeLessThanOrEqual(320);
});

test("who may only look changes nothing, by tools, keys and commands", async () => {
  const { world, editor, drag, shown } = open([[{ id: "0", annotation: box("cat", 10, 10, 50, 50) }], []]);
  const before = shown().document;
  editor.setReadOnly(true);
  editor.selectTool("box");
  expect(shown().tool).toBe("select");
  drag(60, 60, 90, 90);
  drag(30, 30, 60, 60); // what lies there
  editor.selectAll();
  editor.deleteSelection();
  editor.nudge(3, 4);
  editor.setCategory("dog");
  editor.setImageCategory("dog", false);
  editor.markDone();
  editor.copy();
  editor.paste();
  editor.undo();
  await world.clock.pass(1000);
  expect(shown().document).toEqual(before);
  expect(world.server.picture(0).journal).toHaveLength(0);
  editor.setReadOnly(false);
  editor.selectAll();
  editor.deleteSelection();
  expect(shown().document.labels).toEqual([]);
});
