import { expect, test } from "vitest";
import { polygonTool } from "../../../src/editor/tools/polygon";
import { ringArea } from "../../../src/geometry/rings";
import { Bench } from "../gestures";

const TRIANGLE = { category: "cat", polygons: [[10, 10, 50, 10, 30, 40]] };

function begin() {
  return new Bench(polygonTool).click(10, 10).click(50, 10).click(30, 40);
}

test("a click on the first point closes", () => {
  const bench = begin().point("move", 12, 11);
  expect(bench.preview?.snap).toEqual({ x: 10, y: 10 });
  expect(bench.preview?.rings[0]?.closed).toBe(true);
  expect(bench.click(12, 11).annotations).toEqual([TRIANGLE]);
  expect(bench.steps).toHaveLength(1);
  expect([bench.selected, bench.isBusy]).toEqual(["new0", false]);
});

test("so do Enter and a double click, which is a point itself", () => {
  expect(begin().key("finish").annotations).toEqual([TRIANGLE]);
  expect(new Bench(polygonTool).click(10, 10).click(50, 10).doubleClick(30, 40).annotations).toEqual([TRIANGLE]);
});

test("the line to the pointer is shown, but is no point", () => {
  const bench = begin().point("move", 20, 60);
  expect(bench.preview?.rings[0]).toEqual({ ring: [10, 10, 50, 10, 30, 40, 20, 60], closed: false, category: "cat" });
  expect(bench.key("finish").annotations).toEqual([TRIANGLE]);
});

test("a right click or Backspace drops the last point, down to none", () => {
  const bench = begin().click(80, 70).click(0, 0, { button: 2 });
  expect(bench.key("finish").annotations).toEqual([TRIANGLE]);
  bench.click(60, 60).key("delete");
  expect(bench.isBusy).toBe(false);
  bench.key("delete");
  expect(bench.steps).toHaveLength(1);
});

test("Escape drops all", () => {
  const bench = begin().cancel();
  expect([bench.isBusy, bench.preview, bench.steps]).toEqual([false, null, []]);
});

test("what has no area stays open", () => {
  const bench = new Bench(polygonTool).click(10, 10).click(50, 10).key("finish");
  expect([bench.isBusy, bench.steps]).toEqual([true, []]);
  bench.click(90, 10).key("finish");
  expect([bench.isBusy, bench.steps]).toEqual([true, []]);
});

test("two points are too near to close by a click on the first", () => {
  const bench = new Bench(polygonTool).click(10, 10).click(16, 10).click(10, 16);
  expect(bench.isBusy).toBe(true);
});

test("how near the first point is counts on the screen", () => {
  const bench = new Bench(polygonTool);
  bench.view = { scale: 10, left: 0, top: 0 };
  bench.click(10, 10).click(50, 10).click(30, 40).click(12, 11);
  expect(bench.steps).toEqual([]);
  expect(bench.click(10.5, 10.5).annotations).toEqual([
    { category: "cat", polygons: [[10, 10, 50, 10, 30, 40, 12, 11]] },
  ]);
});

test("Shift and a drag draw freehand, with few points, and close where they began", () => {
  const circle = Array.from({ length: 200 }, (_, i) => {
    const angle = (2 * Math.PI * i) / 200;
    return [40 + 30 * Math.cos(angle), 40 + 30 * Math.sin(angle)] as const;
  });
  const bench = new Bench(polygonTool).drag(circle, { shift: true });
  const ring = bench.annotations[0]?.polygons?.[0] ?? [];
  expect(ring.length).toBeLessThan(2 * 40);
  expect(Math.abs(ringArea(ring) - Math.PI * 900)).toBeLessThan(0.04 * Math.PI * 900);
});

test("a freehand stretch may go on with clicks", () => {
  const bench = new Bench(polygonTool).drag(
    [
      [10, 10],
      [20, 10],
      [30, 10],
      [40, 10],
    ],
    { shift: true },
  );
  expect(bench.isBusy).toBe(true);
  bench.click(40, 50).key("finish");
  expect(bench.annotations[0]?.polygons).toEqual([[10, 10, 40, 10, 40, 50]]);
});

test("points lie in the picture", () => {
  const bench = new Bench(polygonTool).click(-5, -5).click(150, 10).click(30, 400).key("finish");
  expect(bench.annotations[0]?.polygons).toEqual([[0, 0, 100, 10, 30, 80]]);
});

test("without a category nothing is drawn", () => {
  const bench = new Bench(polygonTool);
  bench.category = null;
  expect(bench.click(10, 10).isBusy).toBe(false);
});

test("an outline without area stays open and says why", () => {
  const bowTie = new Bench(polygonTool).click(10, 10).click(30, 30).click(30, 10).click(10, 30).key("finish");
  expect(bowTie.isBusy).toBe(true);
  expect(bowTie.notice).toContain("crosses itself");
  const line = new Bench(polygonTool).click(10, 10).click(30, 10).key("finish");
  expect(line.isBusy).toBe(true);
  expect(line.notice).toContain("three points");
  expect(line.click(30, 40).key("finish").annotations).toHaveLength(1);
});
