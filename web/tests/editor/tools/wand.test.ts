import { expect, test } from "vitest";
import { wandTool } from "../../../src/editor/tools/wand";
import { crossesItself } from "../../../src/geometry/outlines";
import type { BoxXyxy } from "../../../src/geometry/points";
import { ringArea } from "../../../src/geometry/rings";
import { areaOf, boundsOf } from "../../../src/labels/shapes";
import { Bench } from "../gestures";

/** Dark, but two bars from column 20 to 30 and 60 to 70: of level 100 above row 40, of level 140 below. */
function bars([left, top, right, bottom]: BoxXyxy) {
  const [width, height] = [right - left, bottom - top];
  const data = new Uint8ClampedArray(4 * width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const isBar = [20, 60].some((start) => x + left >= start && x + left < start + 10);
      data.fill(isBar ? (y + top < 40 ? 100 : 140) : 10, 4 * (y * width + x), 4 * (y * width + x) + 4);
    }
  }
  return { width, height, data };
}

function bench(): Bench<typeof wandTool.initial> {
  const made = new Bench(wandTool);
  made.readPixels = bars;
  return made;
}

function shown(made: Bench<typeof wandTool.initial>) {
  const [label] = made.preview?.annotations ?? [];
  return label && boundsOf(label.annotation);
}

test("a click takes what is joined to it by its colour, and Enter keeps it", () => {
  const made = bench().click(25, 10);
  expect(shown(made)).toEqual([20, 0, 30, 40]);
  expect(made.steps).toEqual([]);
  made.key("finish");
  expect(areaOf(made.annotations[0] ?? { category: "" })).toBe(400);
  expect(made.isBusy).toBe(false);
});

test("the tolerance of the last click may be turned", () => {
  const made = bench().click(65, 10);
  made.tolerance = 40;
  expect(shown(made.send({ kind: "tune" }))).toEqual([60, 0, 70, 80]);
  made.tolerance = 20;
  expect(shown(made.send({ kind: "tune" }))).toEqual([60, 0, 70, 40]);
});

test("further clicks add, with Alt or the right button they take away, and the last one is dropped", () => {
  const made = bench().click(25, 10).click(65, 10);
  expect(shown(made)).toEqual([20, 0, 70, 40]);
  expect(shown(made.click(65, 20, { alt: true }))).toEqual([20, 0, 30, 40]);
  expect(shown(made.key("delete"))).toEqual([20, 0, 70, 40]);
  expect(shown(made.click(25, 20, { button: 2 }))).toEqual([60, 0, 70, 40]);
  expect(made.key("delete").key("delete").key("delete").isBusy).toBe(false);
});

test("kept as a polygon it is an outline", () => {
  const made = bench().click(25, 10).key("finishAsPolygon");
  expect(made.annotations[0]?.polygons?.[0]?.length).toBe(8);
});

test("an outline that would meet itself in a point is kept as two", () => {
  const made = bench();
  made.readPixels = (box) => {
    const area = bars(box);
    for (let i = 0; i < area.width * area.height; i++) {
      const [x, y] = [box[0] + (i % area.width), box[1] + Math.floor(i / area.width)];
      const isSquare = (x >= 30 && x < 40 && y >= 20 && y < 30) || (x >= 20 && x < 30 && y >= 30 && y < 40);
      area.data.fill(isSquare ? 100 : 10, 4 * i, 4 * i + 4);
    }
    return area;
  };
  made.click(35, 25).click(25, 35).key("finishAsPolygon");
  const rings = made.annotations[0]?.polygons ?? [];
  expect(rings.map(ringArea)).toEqual([100, 100]);
  expect(rings.some(crossesItself)).toBe(false);
});

test("a click beside the picture takes nothing, and without pixels it says so", () => {
  expect(bench().click(-5, 10).isBusy).toBe(false);
  const made = new Bench(wandTool).click(25, 10);
  expect(made.isBusy).toBe(false);
  expect(made.point("down", 25, 10).notice).toContain("once the picture is there");
});

test("while the pointer only hovers, nothing is drawn again", () => {
  const made = bench().click(25, 10);
  const before = made.point("move", 30, 20).preview;
  expect(before?.annotations).toHaveLength(1);
  expect(made.point("move", 31, 21).preview).toBe(before);
  made.category = "dog";
  expect(made.point("move", 32, 22).preview?.annotations[0]?.annotation.category).toBe("dog");
});
