import { expect, test } from "vitest";
import { emptyMask, type Mask, maskBounds, paintStroke, shiftMask } from "../../src/geometry/masks";
import { type ImagePoint, imagePoint } from "../../src/geometry/points";
import { seeded } from "../editor/world";

/** The slow way: every pixel whose centre is within the radius of the segment. */
function paintSlowly(mask: Mask, from: ImagePoint, to: ImagePoint, radius: number, value: number): void {
  for (let y = 0; y < mask.height; y++) {
    for (let x = 0; x < mask.width; x++) {
      const [dx, dy] = [to.x - from.x, to.y - from.y];
      const square = dx * dx + dy * dy;
      const part =
        square === 0 ? 0 : Math.min(1, Math.max(0, ((x + 0.5 - from.x) * dx + (y + 0.5 - from.y) * dy) / square));
      if (Math.hypot(from.x + part * dx - x - 0.5, from.y + part * dy - y - 0.5) <= radius) {
        mask.data[y * mask.width + x] = value;
      }
    }
  }
}

test("a stroke sets the pixels whose centres it reaches, and tells what it changed", () => {
  const random = seeded(5);
  const size = { width: 40, height: 30 };
  const [fast, slow] = [emptyMask(size), emptyMask(size)];
  for (let round = 0; round < 300; round++) {
    const point = () => imagePoint(random() * 60 - 10, random() * 50 - 10);
    const [from, to, radius, value] = [point(), random() < 0.2 ? null : point(), random() * 8, random() < 0.5 ? 1 : 0];
    const before = fast.data.slice();
    const dirty = paintStroke(fast, from, to ?? from, radius, value as 0 | 1);
    paintSlowly(slow, from, to ?? from, radius, value);
    expect(fast.data).toEqual(slow.data);
    const changed = { ...size, data: fast.data.map((pixel, i) => (pixel === before[i] ? 0 : 1)) };
    expect(dirty).toEqual(maskBounds(changed));
  }
});

test("a brush of half a pixel's radius sets the pixel that it is on", () => {
  const mask = emptyMask({ width: 5, height: 5 });
  expect(paintStroke(mask, imagePoint(2.5, 3.5), imagePoint(2.5, 3.5), 0.5, 1)).toEqual([2, 3, 3, 4]);
  expect([...mask.data].filter(Boolean)).toHaveLength(1);
  expect(paintStroke(mask, imagePoint(2.5, 3.5), imagePoint(2.5, 3.5), 0.5, 1)).toBeNull();
});

test("an empty mask has no bounds", () => {
  expect(maskBounds(emptyMask({ width: 3, height: 2 }))).toBeNull();
});

test("a shifted mask loses what leaves the picture", () => {
  const mask = { width: 3, height: 2, data: new Uint8Array([1, 0, 0, 0, 0, 1]) };
  expect(shiftMask(mask, 1, 0, mask).data).toEqual(new Uint8Array([0, 1, 0, 0, 0, 0]));
  expect(shiftMask(mask, -2, -1, mask).data).toEqual(new Uint8Array([1, 0, 0, 0, 0, 0]));
  expect(shiftMask(mask, 9, 9, mask).data).toEqual(new Uint8Array(6));
  expect(shiftMask(mask, 0, 0, { width: 2, height: 3 }).data).toEqual(new Uint8Array([1, 0, 0, 0, 0, 0]));
});
