import { expect, test } from "vitest";
import { floodSimilar, type Pixels } from "../../src/geometry/flood";

/** Gray pixels by their levels. */
function gray(...rows: number[][]): Pixels {
  const width = rows[0]?.length ?? 0;
  return {
    width,
    height: rows.length,
    data: new Uint8ClampedArray(rows.flat().flatMap((level) => [level, level, level, 255])),
  };
}

/** Row by row, "#" is taken. */
function taken(pixels: Pixels, x: number, y: number, tolerance: number): string[] {
  const { width, data } = floodSimilar(pixels, x, y, tolerance);
  return Array.from({ length: pixels.height }, (_, row) =>
    [...data.subarray(row * width, (row + 1) * width)].map((bit) => (bit ? "#" : ".")).join(""),
  );
}

test("what is joined by similar pixels is taken, what is similar elsewhere is not", () => {
  const scene = gray(
    [90, 90, 90, 90, 90, 90],
    [90, 10, 10, 90, 10, 90],
    [90, 10, 10, 90, 10, 90],
    [90, 10, 10, 90, 10, 90],
    [90, 90, 90, 90, 90, 10],
  );
  // Of the nine pixels around (1, 2), three are 90: their mean is 36.7, from which 10 differs by 26.7 and 90 by 53.3.
  expect(taken(scene, 1, 2, 40)).toEqual(["......", ".##...", ".##...", ".##...", "......"]);
  expect(taken(scene, 1, 2, 60)).toEqual(["######", "######", "######", "######", "######"]);
});

test("one channel is enough to differ", () => {
  const data = new Uint8ClampedArray([50, 50, 50, 255, 50, 50, 90, 255]);
  expect([...floodSimilar({ width: 2, height: 1, data }, 0, 0, 19).data]).toEqual([1, 0]);
  expect([...floodSimilar({ width: 2, height: 1, data }, 0, 0, 20).data]).toEqual([1, 1]);
});

test("the pixel itself is always taken", () => {
  expect(taken(gray([0, 255], [255, 255]), 0, 0, 0)).toEqual(["#.", ".."]);
});

test("a spiral is followed to its end", () => {
  const path = gray([0, 0, 0, 0, 0], [99, 99, 99, 99, 0], [0, 0, 0, 99, 0], [0, 99, 99, 99, 0], [0, 0, 0, 0, 0]);
  expect(taken(path, 0, 4, 50).join("")).toBe("#####....####.##...######");
});
