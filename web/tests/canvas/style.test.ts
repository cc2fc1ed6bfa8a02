import { expect, test } from "vitest";
import { isTiny, lineWidth, lookOf, luminance, parseColour, sizeText, tagText } from "../../src/canvas/style";

test("letters are black on light colours and white on dark ones", () => {
  expect(lookOf("#ffe119").letters).toBe("#101010");
  expect(lookOf("#000075").letters).toBe("#ffffff");
});

test("an unknown colour is drawn gray", () => {
  expect(lookOf(undefined).stroke).toBe("rgb(138,143,152)");
  expect(parseColour("red")).toBeNull();
});

test("white has luminance 1, black 0", () => {
  expect(luminance([255, 255, 255])).toBeCloseTo(1);
  expect(luminance([0, 0, 0])).toBe(0);
});

test("a proposal's name says how sure the model is", () => {
  expect(tagText("dent", 0.874)).toBe("dent 87 %");
  expect(tagText("dent", null)).toBe("dent");
});

test("a box tells its size in whole pixels; the whole picture has none", () => {
  expect(sizeText([10.2, 20, 129.9, 67.6])).toBe("120 × 48");
  expect(sizeText(null)).toBe("");
});

test("lines thin out where a shape is thin, and never vanish", () => {
  expect(lineWidth(100, false)).toBe(1.5);
  expect(lineWidth(6, false)).toBe(0.75);
  expect(lineWidth(6, true)).toBe(1.25);
  expect(lineWidth(0, true)).toBe(0.5);
});

test("a shape is tiny by what the screen shows of it", () => {
  expect(isTiny([10, 10, 13, 12], 1)).toBe(true);
  expect(isTiny([10, 10, 13, 12], 2)).toBe(false);
  expect(isTiny([10, 10, 200, 11], 1)).toBe(false); // a scratch is long
});
