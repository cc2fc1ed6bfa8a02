import { expect, test } from "vitest";
import { checkName, splitCategories, suggestName } from "../../../src/pages/datasets/naming";

test("a zip gives its own name, made to fit", () => {
  expect(suggestName([{ name: "Parts (2. line).zip" }], [])).toBe("Parts-2.-line-");
  expect(suggestName([{ name: "__.zip" }], [])).toBe("pictures");
});

test("loose pictures are called pictures, and a taken name gets a number", () => {
  const files = [{ name: "a.jpg" }, { name: "b.jpg" }];
  expect(suggestName(files, [])).toBe("pictures");
  expect(suggestName(files, ["pictures", "pictures-2"])).toBe("pictures-3");
});

test("no files, no name", () => {
  expect(suggestName([], [])).toBe("");
});

test.each(["parts", "Parts_2.b", "9"])("%s is a name", (name) => {
  expect(checkName(name, [])).toBeUndefined();
});

test.each(["-parts", "a b", "zwölf", "../x", "x".repeat(101)])("%s is no name", (name) => {
  expect(checkName(name, [])).toMatch(/Letters/);
});

test("a taken name is refused by name", () => {
  expect(checkName("parts", ["parts"])).toContain("parts already");
});

test("categories are split at commas and count once", () => {
  expect(splitCategories(" dent, scratch ;dent,\nrust stain,")).toEqual(["dent", "scratch", "rust stain"]);
});
