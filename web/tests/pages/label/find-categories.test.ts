import { expect, test } from "vitest";
import { findCategories } from "../../../src/pages/label/find-categories";

const CATEGORIES = ["traffic sign", "sign", "Signal"].map((name, id) => ({ id, name, colour: "#ff0000" }));

function find(typed: string) {
  const { rows, best, addable } = findCategories(CATEGORIES, typed);
  return { places: rows.map(({ place }) => place), best: best?.name ?? null, addable };
}

test("nothing typed shows all, and Enter means none of them", () => {
  expect(find("  ")).toEqual({ places: [0, 1, 2], best: null, addable: null });
});

test("the name itself goes before one that begins with it, and that before one that has it", () => {
  expect(find("sign")).toEqual({ places: [0, 1, 2], best: "sign", addable: null });
  expect(find("SIGN")).toMatchObject({ best: "sign", addable: "SIGN" });
  expect(find("si")).toMatchObject({ best: "sign", addable: "si" });
  expect(find("fic")).toEqual({ places: [0], best: "traffic sign", addable: "fic" });
});

test("what nothing fits can be added", () => {
  expect(find(" pole ")).toEqual({ places: [], best: null, addable: "pole" });
});
