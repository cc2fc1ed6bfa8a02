import { expect, test } from "vitest";
import { selectTool } from "../../../src/editor/tools/select";
import { packRuns } from "../../../src/geometry/rle";
import type { Annotation } from "../../../src/labels/annotation";
import { findViewer } from "../../../src/labels/document";
import { Bench } from "../gestures";
import { box } from "../world";

const LEFT = box("cat", 10, 10, 30, 30);
const RIGHT = box("dog", 50, 10, 70, 30);
const LOW = box("cat", 10, 50, 30, 70);
const SQUARE: Annotation = { category: "cat", polygons: [[10, 10, 50, 10, 50, 50, 10, 50]] };

function bench(...annotations: Annotation[]) {
  return new Bench(selectTool, ...annotations);
}

function selecting(id: string, ...annotations: Annotation[]) {
  const made = bench(...annotations);
  made.selection = new Set([id]);
  return made;
}

test("a click selects, a click beside selects nothing, Shift toggles", () => {
  const made = bench(LEFT, RIGHT).click(20, 20);
  expect(made.selected).toBe("0");
  expect(made.click(60, 20).selected).toBe("1");
  expect(made.click(20, 20, { shift: true }).selected).toBe("0 1");
  expect(made.click(60, 20, { shift: true }).selected).toBe("0");
  expect(made.click(90, 70).selected).toBe("");
  expect(made.steps).toEqual([]);
});

test("clicking again reaches what lies below, small ones first", () => {
  const made = bench(box("a", 0, 0, 90, 70), box("b", 20, 20, 40, 40), box("c", 10, 10, 60, 60));
  const order = [0, 1, 2, 3].map(() => made.click(30, 30).selected);
  expect(order).toEqual(["2", "1", "0", "2"]);
});

test("what is hidden is not hit", () => {
  const made = bench(LEFT);
  made.hidden = new Set(["0"]);
  expect(made.click(20, 20).selected).toBe("");
});

test("a rubber band selects what it encloses; with Shift beside what is selected", () => {
  const made = bench(LEFT, RIGHT, LOW).point("down", 5, 5).point("move", 80, 40);
  expect(made.preview?.band).toEqual([5, 5, 80, 40]);
  expect(made.point("up", 80, 40).selected).toBe("0 1");
  expect(
    made.drag(
      [
        [5, 45],
        [40, 75],
      ],
      { shift: true },
    ).selected,
  ).toBe("0 1 2");
  expect(
    made.drag([
      [5, 5],
      [25, 75],
    ]).selected,
  ).toBe("");
});

test("Ctrl draws a band even on a label", () => {
  expect(
    bench(box("a", 0, 0, 100, 80), LEFT).drag(
      [
        [5, 5],
        [40, 40],
      ],
      { ctrl: true },
    ).selected,
  ).toBe("1");
});

test("a drag moves a label, selects it, and is one step", () => {
  const made = bench(LEFT, RIGHT).point("down", 20, 20).point("move", 25, 24);
  expect(made.selected).toBe("0");
  expect(made.preview?.annotations).toEqual([{ id: "0", annotation: { ...LEFT, box_xyxy: [15, 14, 35, 34] } }]);
  expect(made.preview?.replaces).toEqual(new Set(["0"]));
  made.point("up", 25, 24);
  expect(made.annotations[0]?.box_xyxy).toEqual([15, 14, 35, 34]);
  expect(made.steps).toHaveLength(1);
});

function asPerson(annotation: Annotation): Annotation {
  return { ...annotation, origin: "human", confidence: null };
}

test("a drag of one of several moves all, no further than to the border", () => {
  const made = bench(LEFT, RIGHT);
  made.selection = new Set(["0", "1"]);
  made.drag([
    [20, 20],
    [0, 0],
    [-100, 25],
  ]);
  expect(made.annotations.map((one) => one.box_xyxy)).toEqual([
    [0, 15, 20, 35],
    [40, 15, 60, 35],
  ]);
  expect(made.steps).toHaveLength(1);
  expect(made.selected).toBe("0 1");
});

test("a pointer that trembles clicks", () => {
  const made = bench(LEFT).drag([
    [20, 20],
    [22, 21],
  ]);
  expect([made.steps, made.selected]).toEqual([[], "0"]);
});

test("Escape leaves everything where it was", () => {
  const made = bench(LEFT).point("down", 20, 20).point("move", 40, 40).cancel().point("up", 40, 40);
  expect([made.steps, made.isBusy]).toEqual([[], false]);
});

test("a handle resizes the one selected box, and keeps its distance to the pointer", () => {
  const made = selecting("0", LEFT, RIGHT).drag([
    [32, 31],
    [40, 40],
    [42, 51],
  ]);
  expect(made.annotations[0]?.box_xyxy).toEqual([10, 10, 40, 50]);
  expect(made.steps).toHaveLength(1);
  expect(made.selected).toBe("0");
});

test("a box that is resized stays in the picture and does not vanish", () => {
  expect(
    selecting("0", LEFT).drag([
      [30, 20],
      [400, 20],
    ]).annotations[0]?.box_xyxy,
  ).toEqual([10, 10, 100, 30]);
  expect(
    selecting("0", LEFT).drag([
      [30, 20],
      [10.3, 20],
    ]).annotations[0]?.box_xyxy,
  ).toEqual([10, 10, 11, 30]);
});

test("several selected boxes have no handles", () => {
  const made = bench(LEFT, RIGHT);
  made.selection = new Set(["0", "1"]);
  expect(
    made
      .drag([
        [30, 30],
        [35, 36],
      ])
      .annotations.map((one) => one.box_xyxy),
  ).toEqual([
    [15, 16, 35, 36],
    [55, 16, 75, 36],
  ]);
});

test("a vertex of the selected polygon is dragged alone, and Delete means the label afterwards", () => {
  const made = selecting("0", SQUARE).drag([
    [49, 51],
    [60, 60],
    [69, 61],
  ]);
  expect(made.annotations[0]?.polygons).toEqual([[10, 10, 50, 10, 70, 60, 10, 50]]);
  expect(made.preview).toBeNull();
  expect(made.key("delete").annotations).toEqual([]);
});

test("Delete takes the chosen vertex, then the next time the label", () => {
  const made = selecting("0", SQUARE).click(50, 50).key("delete");
  expect(made.annotations[0]?.polygons).toEqual([[10, 10, 50, 10, 10, 50]]);
  made.key("delete");
  expect(made.annotations).toEqual([]);
  expect(made.steps).toHaveLength(2);
});

test("a triangle without a vertex is no label; of several rings the others stay", () => {
  const triangle = [10, 10, 50, 10, 50, 50];
  expect(
    selecting("0", { category: "c", polygons: [triangle] })
      .click(50, 50)
      .key("delete").annotations,
  ).toEqual([]);
  const two = { category: "c", polygons: [triangle, [70, 10, 90, 10, 90, 30]], box_xyxy: [10, 10, 90, 50] as const };
  expect(selecting("0", two).click(50, 50).key("delete").annotations[0]).toMatchObject({
    polygons: [[70, 10, 90, 10, 90, 30]],
    box_xyxy: [70, 10, 90, 30],
  });
});

test("Alt puts a new vertex on an edge and drags it, in one step", () => {
  const made = selecting("0", SQUARE).point("move", 30, 11, { alt: true });
  expect([made.preview?.snap, made.cursor]).toEqual([{ x: 30, y: 10 }, "copy"]);
  made.drag(
    [
      [30, 11],
      [30, 20],
      [35, 26],
    ],
    { alt: true },
  );
  expect(made.annotations[0]?.polygons).toEqual([[10, 10, 35, 25, 50, 10, 50, 50, 10, 50]]);
  expect(made.steps).toHaveLength(1);
});

test("Alt and a click leave the new vertex where it is", () => {
  const made = selecting("0", SQUARE).click(30, 50, { alt: true });
  expect(made.annotations[0]?.polygons).toEqual([[10, 10, 50, 10, 50, 50, 30, 50, 10, 50]]);
  expect(made.key("delete").annotations[0]?.polygons).toEqual(SQUARE.polygons);
});

test("so does a double click on an edge, also where labels overlap", () => {
  const made = bench(box("dog", 5, 0, 60, 60), SQUARE).click(40, 40);
  expect(made.selected).toBe("1");
  made.doubleClick(30, 10);
  expect(made.annotations[1]?.polygons).toEqual([[10, 10, 30, 10, 50, 10, 50, 50, 10, 50]]);
  expect(made.steps).toHaveLength(1);
});

test("a double click inside is no more than clicks", () => {
  expect(bench(SQUARE).doubleClick(30, 30).steps).toEqual([]);
});

test("who moves a proposal answers for it", () => {
  const made = bench({ ...LEFT, origin: "model", confidence: 0.8 }).drag([
    [20, 20],
    [30, 20],
  ]);
  expect(made.annotations[0]).toEqual(asPerson(box("cat", 20, 10, 40, 30)));
  expect(findViewer(made.document)).toBe("human");
});

test("Delete removes all that is selected, in one step", () => {
  const made = bench(LEFT, RIGHT, LOW);
  made.selection = new Set(["0", "2"]);
  made.key("delete");
  expect(made.document.labels.map((label) => label.id)).toEqual(["1"]);
  expect([made.steps.length, made.selected]).toEqual([1, ""]);
});

test("the pointer says what it would do", () => {
  const made = selecting("0", LEFT, RIGHT);
  const cursors = [
    [30, 30],
    [20, 30],
    [20, 20],
    [60, 20],
    [90, 70],
  ].map(([x = 0, y = 0]) => made.point("move", x, y).cursor);
  expect(cursors).toEqual(["nwse-resize", "ns-resize", "move", "pointer", undefined]);
  expect(made.point("move", 60, 20).preview?.hovered).toBe("1");
  expect(selecting("0", SQUARE).point("move", 50, 50).preview?.hoveredVertex).toEqual({ id: "0", ring: 0, index: 2 });
});

test("masks move by whole pixels, and show their bounds on the way", () => {
  const mask = { width: 100, height: 80, counts: "" };
  const square = bench({ category: "m", mask: { ...mask, counts: maskOfSquare() } });
  square.point("down", 25, 25).point("move", 35.4, 25);
  expect(square.preview?.boxes).toEqual([{ box: [30, 20, 40, 30], category: "m" }]);
  square.point("up", 35.4, 25);
  expect(square.click(35, 25).selected).toBe("0");
});

/** Pixels 20 to 30 in both directions, of 100 x 80. */
function maskOfSquare(): string {
  const runs = [20 * 80 + 20, ...Array.from({ length: 9 }, () => [10, 70]).flat(), 10, 70 * 80 + 50];
  return packRuns(runs);
}
