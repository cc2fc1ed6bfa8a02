import { expect, test } from "vitest";
import { labelPath, thumbnailUrl } from "../../src/api/addresses";

test("names are escaped in addresses", () => {
  expect(thumbnailUrl("a b", { position: 3, blob: "ff" })).toBe(
    "/v1/datasets/a%20b/items/3/thumbnail?blob=ff&size=256",
  );
});

test("the editor's page keeps the filter", () => {
  expect(labelPath("parts", 7, "state=proposed")).toBe("/datasets/parts/label/7?state=proposed");
  expect(labelPath("parts", 7)).toBe("/datasets/parts/label/7");
});
