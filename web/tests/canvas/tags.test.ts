import { expect, test } from "vitest";
import { placeTags, TAG_HEIGHT, type Tagged } from "../../src/canvas/tags";
import type { BoxXyxy } from "../../src/geometry/points";

function shape(id: string, box: BoxXyxy, width = 40): Tagged {
  return { id, box, text: id, width, peak: null, centre: null };
}

test("a name stands above its shape", () => {
  expect(placeTags([shape("a", [100, 100, 200, 200])])).toEqual([{ id: "a", text: "a", box: [99, 84, 139, 100] }]);
});

test("the name of an outline stands above its topmost point, within its width", () => {
  const outline = (x: number) => ({ ...shape("a", [100, 100, 200, 200]), peak: { x, y: 100 } });
  expect(placeTags([outline(160)])[0]?.box).toEqual([140, 82, 180, 98]);
  expect(placeTags([outline(195)])[0]?.box).toEqual([160, 82, 200, 98]);
});

test("a name that would leave the picture stands inside", () => {
  expect(placeTags([shape("a", [100, 4, 200, 100])])[0]?.box).toEqual([101, 5, 141, 5 + TAG_HEIGHT]);
});

test("a name gives way to a small neighbour", () => {
  const small = shape("small", [105, 86, 121, 98]);
  expect(placeTags([small, shape("a", [100, 100, 200, 200])])).toEqual([
    { id: "a", text: "a", box: [101, 101, 141, 117] },
  ]);
});

test("a name without room is left out, and none covers another", () => {
  const shapes = ["lowest", "middle", "topmost"].map((id) => shape(id, [100, 100, 130, 120]));
  const tags = placeTags(shapes);
  expect(tags.map(({ id, box }) => [id, box[1]])).toEqual([
    ["topmost", 84],
    ["middle", 120],
  ]);
});

test("shapes too small to be read have no name", () => {
  expect(placeTags([shape("a", [100, 100, 120, 120])])).toEqual([]);
});

test("a mask is named in its middle, where it has room, and a small one above or below, so that it is seen", () => {
  const mask = { ...shape("sky", [0, 0, 300, 100]), centre: { x: 150, y: 40 } };
  expect(placeTags([mask])[0]?.box).toEqual([130, 32, 170, 48]);
  const small = { ...mask, centre: { x: 120, y: 130 } };
  expect(placeTags([{ ...small, box: [100, 100, 140, 160] }])[0]?.box).toEqual([100, 82, 140, 98]);
  expect(placeTags([{ ...small, box: [100, 10, 140, 60] }])[0]?.box).toEqual([100, 62, 140, 78]);
});
