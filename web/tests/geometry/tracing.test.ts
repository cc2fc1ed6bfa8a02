import { expect, test } from "vitest";
import { emptyMask, type Mask } from "../../src/geometry/masks";
import { ringArea, ringContains } from "../../src/geometry/rings";
import { traceMask } from "../../src/geometry/tracing";

/** A mask as it looks: "#" is set. */
function draw(...rows: string[]): Mask {
  const mask = emptyMask({ width: rows[0]?.length ?? 0, height: rows.length });
  mask.data.set([...rows.join("")].map((sign) => (sign === "#" ? 1 : 0)));
  return mask;
}

test("a pixel is outlined by its four corners, also in the corner of the picture", () => {
  expect(traceMask(draw("...", ".#.", "...")).outer).toEqual([[1, 1, 2, 1, 2, 2, 1, 2]]);
  expect(traceMask(draw("..", ".#")).outer).toEqual([[1, 1, 2, 1, 2, 2, 1, 2]]);
});

test("nothing has no outline", () => {
  expect(traceMask(draw("...", "..."))).toEqual({ outer: [], holes: [] });
});

test("a frame has an outline and a hole", () => {
  const { outer, holes } = traceMask(draw("###", "#.#", "###"));
  expect(outer.map(ringArea)).toEqual([9]);
  expect(holes.map(ringArea)).toEqual([1]);
});

test("outlines by the even-odd rule are the mask again", () => {
  let state = 7;
  const random = () => {
    state = (state * 16807) % 2147483647;
    return state / 2147483647;
  };
  for (let turn = 0; turn < 30; turn++) {
    const mask = emptyMask({ width: 9, height: 7 });
    for (let i = 0; i < mask.data.length; i++) mask.data[i] = random() < 0.55 ? 1 : 0;
    const { outer, holes } = traceMask(mask);
    for (let y = 0; y < 7; y++) {
      for (let x = 0; x < 9; x++) {
        const around = [...outer, ...holes].filter((ring) => ringContains(ring, x + 0.5, y + 0.5)).length;
        expect(around % 2).toBe(mask.data[y * 9 + x]);
      }
    }
  }
});
