import { expect, test } from "vitest";
import { boxTool } from "../../../src/editor/tools/box";
import { Bench } from "../gestures";
import { box } from "../world";

test("a drag draws a box, in any direction", () => {
  const bench = new Bench(boxTool).drag([
    [50, 60],
    [30, 30],
    [10, 20],
  ]);
  expect(bench.annotations).toEqual([box("cat", 10, 20, 50, 60)]);
  expect(bench.steps).toHaveLength(1);
  expect(bench.selected).toBe("new0");
  expect(bench.isBusy).toBe(false);
});

test("so do two clicks", () => {
  const bench = new Bench(boxTool).click(10, 20).point("move", 30, 30);
  expect(bench.preview?.boxes).toEqual([{ box: [10, 20, 30, 30], category: "cat" }]);
  expect(bench.isBusy).toBe(true);
  expect(bench.click(50, 60).annotations).toEqual([box("cat", 10, 20, 50, 60)]);
});

test("a second click in the same place goes on waiting for another corner", () => {
  const bench = new Bench(boxTool).click(10, 20).click(11, 20);
  expect(bench.steps).toEqual([]);
  expect(bench.click(50, 60).steps).toHaveLength(1);
});

test("a box that is drawn over the border ends there", () => {
  expect(
    new Bench(boxTool).drag([
      [-20, 70],
      [130, 200],
    ]).annotations,
  ).toEqual([box("cat", 0, 70, 100, 80)]);
});

test("a box is a pixel wide and high at least", () => {
  const bench = new Bench(boxTool);
  bench.view = { scale: 50, left: 0, top: 0 };
  expect(
    bench.drag([
      [10, 20],
      [10.2, 20.1],
    ]).annotations,
  ).toEqual([box("cat", 10, 20, 11, 21)]);
  expect(
    bench.drag([
      [100, 80],
      [99.9, 79.8],
    ]).annotations[1],
  ).toEqual(box("cat", 99, 79, 100, 80));
});

test("Escape and the right button leave no trace", () => {
  const bench = new Bench(boxTool).point("down", 10, 10).point("move", 40, 40).cancel().point("up", 40, 40);
  expect([bench.isBusy, bench.steps]).toEqual([false, []]);
  bench.click(10, 10).click(30, 30, { button: 2 });
  expect([bench.isBusy, bench.steps]).toEqual([false, []]);
});

test("without a category nothing is drawn", () => {
  const bench = new Bench(boxTool);
  bench.category = null;
  expect(
    bench.drag([
      [10, 10],
      [40, 40],
    ]).steps,
  ).toEqual([]);
});

test("a hovering pointer shows where it is, until it leaves", () => {
  const bench = new Bench(boxTool).point("move", 10, 20);
  expect(bench.preview?.crosshair).toEqual({ x: 10, y: 20 });
  expect(bench.send({ kind: "leave" }).preview).toBeNull();
});
