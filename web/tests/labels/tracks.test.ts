import { expect, test } from "vitest";
import type { Annotation, LabelDocument } from "../../src/labels/annotation";
import { findTracks, trackOf, tracksByPeople, withoutTrack, withTrack } from "../../src/labels/tracks";

const PLAIN: Annotation = { category: "cup", box_xyxy: [1, 2, 3, 4], attributes: { colour: "blue" } };
const FOLLOWED: Annotation = { ...PLAIN, attributes: { colour: "blue", track_id: "7" } };
const PROPOSED: Annotation = { ...FOLLOWED, attributes: { track_id: "8" }, origin: "model" };
const DOCUMENT: LabelDocument = {
  labels: [
    { id: "a", annotation: PLAIN },
    { id: "b", annotation: FOLLOWED },
    { id: "c", annotation: PROPOSED },
    { id: "d", annotation: FOLLOWED },
  ],
  seenBy: null,
};

test("a label becomes one of a new track, once, and keeps its other facts", () => {
  const made = withTrack(PLAIN, () => "abcdefghijklmnop");
  expect(made).toEqual({ ...PLAIN, attributes: { colour: "blue", track_id: "abcdefghij" } });
  expect(withTrack(made, () => "another")).toBe(made);
  expect([trackOf(PLAIN), trackOf(FOLLOWED), trackOf({ category: "cup" })]).toEqual([null, "7", null]);
});

test("a copy beside a label is another object", () => {
  expect(withoutTrack(FOLLOWED)).toEqual(PLAIN);
  expect(withoutTrack(PLAIN)).toBe(PLAIN);
});

test("labels are found by their tracks, and tracks by what people labelled", () => {
  expect(findTracks(DOCUMENT, new Set(["7"]))).toEqual(["b", "d"]);
  expect(tracksByPeople(DOCUMENT, new Set(["a", "b", "c", "d"]))).toEqual(["7"]);
  expect(tracksByPeople(DOCUMENT, new Set())).toEqual([]);
});
