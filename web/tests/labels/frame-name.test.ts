import { expect, test } from "vitest";
import { readFrameTime, shortFrameName } from "../../src/labels/frame-name";

test("the name of a frame tells its time as a player does", () => {
  expect(readFrameTime("line.mp4/000012_00h00m00s480.png")).toBe("0:00.480");
  expect(readFrameTime("day 1/line.mp4/108000_01h02m03s007.png")).toBe("1:02:03.007");
  expect(readFrameTime("1234567_100h00m00s000.png")).toBe("100:00:00.000");
});

test("other names tell no time", () => {
  for (const name of ["frame_000012.png", "line.mp4/12_00h00m00s480.png", "a_00h00m00s480.png", ""])
    expect(readFrameTime(name)).toBeNull();
});

test("the shortest name of a frame is its time, or the last part of its own", () => {
  expect(shortFrameName("line.mp4/000012_00h00m00s480.png")).toBe("0:00.480");
  expect(shortFrameName("clip/frame_000012.png")).toBe("frame_000012.png");
});
