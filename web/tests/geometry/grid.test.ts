import { expect, test } from "vitest";
import { boxesMeet } from "../../src/geometry/boxes";
import { BoundsGrid } from "../../src/geometry/grid";
import type { BoxXyxy } from "../../src/geometry/points";
import { seeded } from "../editor/world";

test("a grid finds what looking at all finds, while boxes come, move and go", () => {
  const random = seeded(2);
  const grid = new BoundsGrid({ width: 640, height: 480 });
  const all = new Map<string, BoxXyxy>();
  const anyBox = (): BoxXyxy => {
    const [x, y] = [random() * 800 - 80, random() * 600 - 60];
    const reach = random() < 0.05 ? 600 : 40;
    return [x, y, x + random() * reach, y + random() * reach];
  };
  for (let step = 0; step < 3000; step++) {
    const id = String(Math.floor(random() * 200));
    if (random() < 0.3) {
      grid.delete(id);
      all.delete(id);
    } else {
      const box = anyBox();
      grid.set(id, box);
      all.set(id, box);
    }
    const asked = anyBox();
    const expected = [...all].filter(([, box]) => boxesMeet(box, asked)).map(([found]) => found);
    expect([...grid.query(asked)].sort()).toEqual(expected.sort());
  }
  expect(grid.size).toBe(all.size);
});

test("a picture of one pixel and an empty grid are no trouble", () => {
  const grid = new BoundsGrid({ width: 1, height: 1 });
  expect(grid.query([0, 0, 1, 1]).size).toBe(0);
  grid.set("a", [0, 0, 1, 1]);
  expect([...grid.query([0.5, 0.5, 0.5, 0.5])]).toEqual(["a"]);
  expect(grid.boxOf("a")).toEqual([0, 0, 1, 1]);
});
