import { expect, test } from "vitest";
import { smartTool } from "../../../src/editor/tools/smart";
import { emptyMask } from "../../../src/geometry/masks";
import { encodeMask } from "../../../src/geometry/rle";
import { areaOf } from "../../../src/labels/shapes";
import { Bench } from "../gestures";
import { SIZE } from "../world";

/** A mask of a block of pixels. */
function block(x0: number, y0: number, x1: number, y1: number) {
  const mask = emptyMask(SIZE);
  for (let y = y0; y < y1; y++) mask.data.fill(1, y * SIZE.width + x0, y * SIZE.width + x1);
  return encodeMask(mask);
}

/** A box from (10, 10) to (40, 30), which the server was asked for. */
function boxed(): Bench<typeof smartTool.initial> {
  return new Bench(smartTool).drag([
    [10, 10],
    [25, 20],
    [40, 30],
  ]);
}

test("a box is asked for, and nothing is in the document until the mask is kept", () => {
  const bench = boxed();
  expect(bench.asked).toEqual([{ box: [10, 10, 40, 30], strokes: [] }]);
  expect(bench.isBusy).toBe(true);
  expect(bench.cursor).toBe("progress");
  bench.answer(block(12, 12, 38, 28));
  expect(bench.preview?.annotations).toHaveLength(1);
  expect(bench.steps).toEqual([]);
  bench.key("finish");
  expect(bench.steps).toHaveLength(1);
  expect(areaOf(bench.annotations[0] ?? { category: "" })).toBe(26 * 16);
  expect(bench.annotations[0]).toMatchObject({ category: "cat", mask: SIZE });
  expect(bench.isBusy).toBe(false);
});

test("kept as a polygon it is the outline, without the stairs of its pixels", () => {
  const bench = boxed()
    .answer(block(12, 12, 38, 28))
    .key("finishAsPolygon");
  expect(bench.annotations[0]?.mask).toBeUndefined();
  const [ring] = bench.annotations[0]?.polygons ?? [];
  expect(ring?.length).toBe(8);
  expect(areaOf(bench.annotations[0] ?? { category: "" })).toBe(26 * 16);
});

test("strokes add, and with Alt or the right button take away; each asks anew", () => {
  const bench = boxed()
    .answer(block(12, 12, 38, 28))
    .click(50, 20);
  expect(bench.asked[0]?.strokes).toMatchObject([{ points: [{ x: 50, y: 20 }], adds: true, radius: 3 }]);
  bench.answer(block(12, 12, 52, 28)).drag(
    [
      [20, 15],
      [20, 18],
      [20, 25],
    ],
    { alt: true },
  );
  expect(bench.asked[0]?.strokes[1]).toMatchObject({ points: [{ y: 15 }, { y: 18 }, { y: 25 }], adds: false });
  bench.answer(block(12, 12, 19, 28)).click(30, 20, { button: 2 });
  expect(bench.asked[0]?.strokes.map(({ adds }) => adds)).toEqual([true, false, false]);
});

test("while an answer is awaited nothing more is asked, and then what is wanted by now", () => {
  const bench = boxed().click(50, 20).click(60, 20);
  expect(bench.asked).toHaveLength(1);
  bench.answer(block(12, 12, 38, 28));
  expect(bench.asked).toHaveLength(1);
  expect(bench.asked[0]?.strokes).toHaveLength(2);
  expect(bench.key("finish").steps).toEqual([]); // the mask that is shown is not the one that is wanted
  expect(bench.answer(block(12, 12, 62, 28)).key("finish").steps).toHaveLength(1);
});

test("the last stroke is dropped, and with none left all is", () => {
  const bench = boxed()
    .answer(block(12, 12, 38, 28))
    .click(50, 20)
    .answer(block(12, 12, 52, 28))
    .key("delete");
  expect(bench.asked[0]?.strokes).toEqual([]);
  expect(bench.answer(block(12, 12, 38, 28)).key("delete").isBusy).toBe(false);
  expect(bench.preview).toBeNull();
});

test("an answer that nobody waits for any more is not taken", () => {
  const bench = boxed().cancel();
  expect(bench.isBusy).toBe(false);
  expect(bench.answer(block(12, 12, 38, 28)).preview).toBeNull();
  expect(bench.steps).toEqual([]);
});

test("a refusal and an empty mask are told", () => {
  expect(boxed().answer(null, "no such picture").notice).toBe("no such picture");
  const bench = boxed().answer(encodeMask(emptyMask(SIZE)));
  expect(bench.notice).toContain("Nothing was found there");
  expect(bench.isBusy).toBe(true);
  expect(bench.key("finish").steps).toEqual([]);
});

test("without a category there is nothing to cut", () => {
  const bench = new Bench(smartTool);
  bench.category = null;
  bench.drag([
    [10, 10],
    [40, 30],
  ]);
  expect(bench.asked).toEqual([]);
});

test("while the pointer only hovers, nothing is drawn again", () => {
  const made = boxed().answer(block(12, 12, 38, 28));
  const before = made.point("move", 30, 20).preview;
  expect(before?.annotations).toHaveLength(1);
  expect(made.point("move", 31, 21).preview).toBe(before);
  made.category = "dog";
  expect(made.point("move", 32, 22).preview?.annotations[0]?.annotation.category).toBe("dog");
});

test("while a stroke is drawn, the mask is the same object", () => {
  const made = boxed().answer(block(12, 12, 38, 28));
  const before = made.preview?.annotations[0]?.annotation;
  made.point("down", 20, 20).point("move", 30, 20);
  expect(made.preview?.strokes).toHaveLength(1);
  expect(made.preview?.annotations[0]?.annotation).toBe(before);
});
