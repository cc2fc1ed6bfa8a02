import { expect, test } from "vitest";
import { guessTask } from "../../../src/pages/train/guess";

const box = { box_xyxy: [0, 0, 4, 4] };
const outline = { category: "dent", polygons: [[0, 0, 4, 0, 4, 4]] };
const mask = { category: "stain", mask: { height: 4, width: 4, counts: "" } };
const label = {};

test.each([
  [[], null],
  [[[], []], null],
  [[[box], [box, box]], "detection"],
  [[[outline, mask], [outline]], "semantic"],
  [[[mask], [outline, mask, outline]], "instance"],
  [[[box, box], [outline]], "detection"],
  [[[label], [label]], "classification"],
  [[[label, label], [label]], "multilabel"],
  [[[{ ...box, ...outline }]], "semantic"],
] as const)("labels %j are for %s", (pictures, task) => expect(guessTask(pictures)).toBe(task));
