import { expect, test } from "vitest";
import { isPlain, PLAIN, readTone, stretchTone, toneTable } from "../../src/canvas/tone";

/** Gray pixels of these levels. */
function gray(...levels: number[]): Uint8ClampedArray {
  return new Uint8ClampedArray(levels.flatMap((level) => [level, level, level, 255]));
}

test("the plain tone shows each level as it is", () => {
  const table = toneTable(PLAIN);
  expect(table).toHaveLength(256);
  for (const level of [0, 1, 100, 254, 255]) expect(table[level]).toBeCloseTo(level / 255, 12);
  expect(isPlain(PLAIN)).toBe(true);
});

test("contrast doubles distances from the middle, after brightness was added, and gamma and inversion follow", () => {
  // (102 / 255 + 0.1 - 0.5) * 2 + 0.5 = 0.5
  const tone = { brightness: 0.1, contrast: 1, gamma: 0, inverts: false };
  expect(toneTable(tone)[102]).toBeCloseTo(0.5, 12);
  expect(toneTable(tone)[0]).toBe(0); // (0 + 0.1 - 0.5) * 2 + 0.5 = -0.3
  expect(toneTable({ ...tone, gamma: 1 })[102]).toBeCloseTo(Math.sqrt(0.5), 12);
  expect(toneTable({ ...tone, inverts: true })[0]).toBe(1);
});

test("stretched, the darkest level that is seen is black and the brightest white", () => {
  const tone = stretchTone({ ...PLAIN, gamma: 1 }, gray(20, 30, 40, 60));
  const table = toneTable({ ...tone, gamma: 0 });
  expect(table[20]).toBeCloseTo(0, 9);
  expect(table[60]).toBeCloseTo(1, 9);
  expect(table[40]).toBeCloseTo(0.5, 9);
  expect(tone.gamma).toBe(1);
});

test("a few hot pixels do not decide", () => {
  const levels = Array.from({ length: 1000 }, (_, at) => (at < 4 ? 255 : 20 + (at % 41)));
  expect(toneTable(stretchTone(PLAIN, gray(...levels)))[60]).toBeCloseTo(1, 9);
});

test("of one level alone nothing can be stretched too far", () => {
  const tone = stretchTone(PLAIN, gray(7, 7, 7));
  expect(tone.contrast).toBe(5);
  expect(Number.isFinite(tone.brightness)).toBe(true);
});

test("what was stored is read within its limits, and anything else is plain", () => {
  const tone = { brightness: 0.2, contrast: 2, gamma: -1, inverts: true };
  expect(readTone(JSON.stringify(tone))).toEqual(tone);
  expect(readTone('{"contrast": 99, "gamma": "x"}')).toEqual({ ...PLAIN, contrast: 5 });
  for (const text of [null, "", "no", "null", "3"]) expect(readTone(text)).toEqual(PLAIN);
});
