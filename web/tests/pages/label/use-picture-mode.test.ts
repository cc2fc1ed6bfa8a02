import { expect, test } from "vitest";
import type { Annotation } from "../../../src/labels/annotation";
import { hasSeveral, labelsWholePicture } from "../../../src/pages/label/use-picture-mode";

function documentOf(...annotations: Annotation[]) {
  return { labels: annotations.map((annotation, place) => ({ id: `${place}`, annotation })), seenBy: null };
}

test("a picture whose labels have no place is labelled as a whole", () => {
  expect(labelsWholePicture(documentOf({ category: "glass" }))).toBe(true);
});

test("one object among them says otherwise, and no label says nothing", () => {
  expect(labelsWholePicture(documentOf({ category: "glass" }, { category: "dent", box_xyxy: [0, 0, 1, 1] }))).toBe(
    false,
  );
  expect(labelsWholePicture(documentOf())).toBeNull();
});

test("labels of objects do not count where a picture has several", () => {
  const box = { category: "dent", box_xyxy: [0, 0, 1, 1] } as const;
  expect(hasSeveral(documentOf(box, box, { category: "glass" }))).toBe(false);
  expect(hasSeveral(documentOf({ category: "red" }, { category: "glass" }))).toBe(true);
});
