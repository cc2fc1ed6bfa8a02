import { expect, test } from "vitest";
import { guessTask } from "../../../src/pages/train/guess";

const box = { box_xyxy: [0, 0, 4, 4] };
const outline = { polygons: [[0, 0, 4, 0, 4, 4]] };
const mask = { mask: { height: 4, width: 4, counts: "" } };
const label = {};

test.each([
  [[], null],
  [[[], []], null],
  [[[box], [box, box]], "detection"],
  [[[outline, mask], [outline]], "semantic"],
  [[[box, box], [outline]], "detection"],
  [[[label], [label]], "classification"],
  [[[label, label], [label]], "multilabel"],
  [[[{ ...box, ...outline }]], "semantic"],
] as const)("labels %j are for %s", (pictures, task) => expect(guessTask(pictures)).toBe(task));
