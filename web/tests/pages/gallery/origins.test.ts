import { expect, it } from "vitest";
import { describeOrigin } from "../../../src/pages/gallery/origins";

const NONE = { added: 0, removed: 0, moved: 0 };

it("says which pictures changed", () => {
  expect(describeOrigin({ ...NONE, made_by: "label", added: 1 })).toBe("1 picture added");
  expect(describeOrigin({ made_by: "label", added: 0, removed: 12, moved: 3 })).toBe(
    "12 pictures removed, 3 put into another split",
  );
});

it("says else where a version comes from", () => {
  expect(describeOrigin({ ...NONE, made_by: "label" })).toBe("labelled here");
  expect(describeOrigin({ ...NONE, made_by: "coco" })).toBe("imported (coco)");
  expect(describeOrigin({ ...NONE, made_by: null })).toBe("made elsewhere");
});
