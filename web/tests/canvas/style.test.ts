import { expect, test } from "vitest";
import { lookOf, luminance, parseColour, sizeText, tagText } from "../../src/canvas/style";

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
