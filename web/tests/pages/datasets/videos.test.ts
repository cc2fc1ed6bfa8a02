import { expect, test } from "vitest";
import { suggestName } from "../../../src/pages/datasets/naming";
import { describeSampling, isVideo, readSeconds } from "../../../src/pages/datasets/videos";

test("videos are known by their names' ends, whatever the case", () => {
  expect(["line.mp4", "LINE.MOV", "a.b.mkv"].map((name) => isVideo({ name }))).toEqual([true, true, true]);
  expect(["line.mp4.zip", "line.png", ""].map((name) => isVideo({ name }))).toEqual([false, false, false]);
});

test("a dataset is named after the only video", () => {
  expect(suggestName([{ name: "line 3.mp4" }], [])).toBe("line-3");
  expect(suggestName([{ name: "a.mp4" }, { name: "b.mp4" }], [])).toBe("pictures");
});

test("seconds are read as people type them", () => {
  expect(["1", " 0.2 ", "0,5", "30"].map(readSeconds)).toEqual([1, 0.2, 0.5, 30]);
  expect(["", "0", "-1", "often", "1e999"].map(readSeconds)).toEqual([null, null, null, null, null]);
});

test("a distance between frames is told as pictures in a minute", () => {
  expect(describeSampling(1)).toBe("A minute of video becomes 60 pictures");
  expect(describeSampling(0.2)).toBe("A minute of video becomes 300 pictures");
  expect(describeSampling(60)).toBe("A minute of video becomes 1 picture");
  expect(describeSampling(90)).toBe("Less than a picture for a minute");
});
