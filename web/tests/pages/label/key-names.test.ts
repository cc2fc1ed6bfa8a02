import { expect, test } from "vitest";
import { splitChord } from "../../../src/pages/label/key-names";

test("keys are named as keyboards name them", () => {
  expect(splitChord("Ctrl+Shift+Z")).toEqual(["Ctrl", "Shift", "Z"]);
  expect(splitChord("Shift+ArrowLeft")).toEqual(["Shift", "←"]);
  expect(splitChord("Escape")).toEqual(["Esc"]);
});

test("the plus sign is a key, too", () => {
  expect(splitChord("+")).toEqual(["+"]);
  expect(splitChord("Ctrl++")).toEqual(["Ctrl", "+"]);
});
