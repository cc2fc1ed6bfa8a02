import { describe, expect, it } from "vitest";
import { add, extend, NOTHING, toggle, toPictures } from "../../../src/pages/gallery/selection";

const ITEMS = [7, 3, 9, 12].map((position) => ({ position, blob: `blob ${position}` }));

function positions(selection: typeof NOTHING): number[] {
  return toPictures(selection).map(({ position }) => position);
}

describe("selection", () => {
  it("takes a picture, and gives it up again", () => {
    const once = toggle(NOTHING, ITEMS, 1);
    expect(toPictures(once)).toEqual([{ position: 3, blob: "blob 3" }]);
    expect(positions(toggle(once, ITEMS, 1))).toEqual([]);
    expect(toggle(NOTHING, ITEMS, 4)).toBe(NOTHING);
  });

  it("takes a range from the picture that was touched last, in both directions", () => {
    const from = toggle(NOTHING, ITEMS, 2);
    expect(positions(extend(from, ITEMS, 3))).toEqual([9, 12]);
    expect(positions(extend(from, ITEMS, 0))).toEqual([3, 7, 9]);
    expect(positions(extend(extend(from, ITEMS, 3), ITEMS, 1))).toEqual([3, 9, 12]);
  });

  it("begins a range at the focus where nothing was touched", () => {
    expect(positions(extend(NOTHING, ITEMS, 1, 0))).toEqual([3, 7]);
    expect(positions(extend(NOTHING, ITEMS, 1))).toEqual([3]);
  });

  it("takes all that it is given, and keeps what there was", () => {
    expect(positions(add(toggle(NOTHING, ITEMS, 3), ITEMS.slice(0, 2)))).toEqual([3, 7, 12]);
  });
});
