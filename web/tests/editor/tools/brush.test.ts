import { expect, test } from "vitest";
import { brushTool, eraserTool } from "../../../src/editor/tools/brush";
import { decodeMask, readRle } from "../../../src/geometry/rle";
import type { Annotation } from "../../../src/labels/annotation";
import { areaOf, boundsOf } from "../../../src/labels/shapes";
import { Bench } from "../gestures";
import { box, SIZE } from "../world";

function painted(...points: [number, number][]): Annotation {
  return new Bench(brushTool).drag(points).annotations[0] as Annotation;
}

test("a stroke makes a mask of the picture's size, in one step", () => {
  const bench = new Bench(brushTool).drag([
    [20, 20],
    [30, 20],
    [40, 20],
  ]);
  const [annotation] = bench.annotations;
  expect(annotation?.category).toBe("cat");
  expect(annotation?.mask).toMatchObject(SIZE);
  expect(boundsOf(annotation as Annotation)).toEqual([17, 17, 43, 23]);
  expect(bench.steps).toHaveLength(1);
  expect(bench.selected).toBe("new0");
});

test("the next stroke goes into the selected mask, whatever the category is now", () => {
  const bench = new Bench(brushTool).click(20, 20);
  bench.category = "dog";
  bench.click(50, 50);
  expect(bench.annotations).toHaveLength(1);
  expect(bench.annotations[0]?.category).toBe("cat");
  expect(boundsOf(bench.annotations[0] as Annotation)).toEqual([17, 17, 53, 53]);
  bench.selection = new Set();
  expect(bench.click(70, 20).annotations.map((one) => one.category)).toEqual(["cat", "dog"]);
});

test("a selected box is not painted on", () => {
  const bench = new Bench(brushTool, box("cat", 0, 0, 10, 10));
  bench.selection = new Set(["0"]);
  bench.click(20, 20);
  expect(bench.annotations).toHaveLength(2);
});

test("while painting, the pixels are shown instead of the label, and what a step changed is told", () => {
  const bench = new Bench(brushTool, painted([20, 20]));
  bench.selection = new Set(["0"]);
  bench.point("down", 50, 50).point("move", 60, 50);
  // The top row of the disc at 50 reaches from 48.34 to 51.66: beyond, the stroke sets pixels that were not set.
  expect(bench.preview?.mask?.dirty).toEqual([52, 47, 63, 53]);
  expect(bench.preview?.replaces).toEqual(new Set(["0"]));
  expect(bench.preview?.brush).toEqual({ at: { x: 60, y: 50 }, radius: 3, erases: false });
  bench.cancel();
  expect([bench.preview, bench.steps]).toEqual([null, []]);
});

test("the eraser takes away from the mask under it", () => {
  const bench = new Bench(eraserTool, painted([20, 20], [40, 20]));
  const before = areaOf(bench.annotations[0] as Annotation);
  bench.click(20, 20);
  expect(areaOf(bench.annotations[0] as Annotation)).toBeLessThan(before);
  expect(decodeMask(bench.annotations[0]?.mask ?? { ...SIZE, counts: "" }).data[20 * SIZE.width + 20]).toBe(0);
});

test("a mask without a pixel left is removed", () => {
  const bench = new Bench(eraserTool, painted([20, 20]));
  bench.selection = new Set(["0"]);
  bench.brushRadius = 9;
  bench.click(20, 20);
  expect(bench.steps).toEqual([[{ kind: "remove", id: "0" }]]);
  expect(bench.selected).toBe("");
});

test("strokes that change nothing are no steps", () => {
  const bench = new Bench(eraserTool, painted([20, 20]));
  bench.click(70, 70);
  expect(bench.steps).toEqual([]);
  const brush = new Bench(brushTool, painted([20, 20]));
  brush.selection = new Set(["0"]);
  expect(brush.click(20, 20).steps).toEqual([]);
});

test("who paints on a proposal answers for it", () => {
  const bench = new Bench(brushTool, { ...painted([20, 20]), origin: "model", confidence: 0.4 });
  bench.selection = new Set(["0"]);
  expect(bench.click(30, 20).annotations[0]).toMatchObject({ origin: "human", confidence: null });
});

test("a box beside the mask stays its bounds", () => {
  const bench = new Bench(brushTool, { ...painted([20, 20]), box_xyxy: [17, 17, 23, 23] });
  bench.selection = new Set(["0"]);
  expect(bench.click(30, 20).annotations[0]?.box_xyxy).toEqual([17, 17, 33, 23]);
  expect(readRle(bench.annotations[0]?.mask ?? { ...SIZE, counts: "" }).bounds).toEqual([17, 17, 33, 23]);
});

test("without a category nothing is painted", () => {
  const bench = new Bench(brushTool);
  bench.category = null;
  expect(bench.click(20, 20).steps).toEqual([]);
});
