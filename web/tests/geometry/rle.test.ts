import { expect, test } from "vitest";
import { type Mask, maskBounds } from "../../src/geometry/masks";
import { decodeMask, encodeMask, packRuns, readRle, rleContains, unpackRuns } from "../../src/geometry/rle";
import { seeded } from "../editor/world";
import fixture from "../fixtures/rle.json";

function unpackBits({ bits, height, width }: (typeof fixture.masks)[number]): Mask {
  const data = new Uint8Array(height * width);
  for (let i = 0; i < data.length; i++) {
    const byte = Number.parseInt(bits.slice(2 * (i >> 3), 2 * (i >> 3) + 2), 16);
    data[i] = (byte >> (7 - (i & 7))) & 1;
  }
  return { width, height, data };
}

test.each(fixture.masks)("the code of a mask is the server's: $name", (row) => {
  const mask = unpackBits(row);
  const { height, width, counts } = row;
  expect(encodeMask(mask)).toEqual({ height, width, counts });
  expect(decodeMask({ height, width, counts })).toEqual(mask);
});

test.each(fixture.masks)("bounds, area and pixels are read without decoding: $name", (row) => {
  const mask = unpackBits(row);
  expect(readRle(row)).toMatchObject({ bounds: maskBounds(mask), area: mask.data.filter(Boolean).length });
  for (let y = 0; y < row.height; y++) {
    for (let x = 0; x < row.width; x++) {
      if (rleContains(row, x + 0.5, y + 0.5) !== (mask.data[y * row.width + x] === 1)) throw new Error(`${x}, ${y}`);
    }
  }
});

test("no pixel lies outside of the picture", () => {
  const rle = encodeMask({ width: 2, height: 1, data: new Uint8Array([1, 1]) });
  expect([
    rleContains(rle, -0.1, 0),
    rleContains(rle, 2, 0),
    rleContains(rle, 0, 1),
    rleContains(rle, 1.9, 0.9),
  ]).toEqual([false, false, false, true]);
});

test("random masks come back as they were", () => {
  const random = seeded(3);
  for (let round = 0; round < 200; round++) {
    const [width, height, share] = [1 + Math.floor(random() * 30), 1 + Math.floor(random() * 30), random()];
    const data = Uint8Array.from({ length: width * height }, () => (random() < share ? 1 : 0));
    expect(decodeMask(encodeMask({ width, height, data }))).toEqual({ width, height, data });
  }
});

test("runs beyond 32 bits survive", () => {
  const runs = [5_000_000_000, 1, 1, 6_000_000_000, 2];
  const counts = packRuns(runs);
  expect(unpackRuns({ height: 1, width: 11_000_000_004, counts })).toEqual(runs);
});

test.each(["~", " ", "P", "04", "ÿ"])("a broken code is refused: %s", (counts) => {
  expect(() => unpackRuns({ height: 3, width: 4, counts })).toThrow(/expected a COCO run-length string of 3 x 4/);
});
