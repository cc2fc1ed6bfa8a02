import { expect, test } from "vitest";
import { imagePoint } from "../../src/geometry/points";
import type { Annotation, Label, LabelDocument } from "../../src/labels/annotation";
import { applyOperations } from "../../src/labels/document";
import { chooseHit, LabelIndex } from "../../src/labels/hits";
import { covers } from "../../src/labels/shapes";
import { box, seeded } from "../editor/world";

const NONE = new Set<string>();

function indexOf(document: LabelDocument, width = 100, height = 80): LabelIndex {
  const index = new LabelIndex({ width, height });
  index.update(document);
  return index;
}

function made(...annotations: Annotation[]): LabelDocument {
  return { labels: annotations.map((annotation, i) => ({ id: String(i), annotation })), seenBy: null };
}

const NESTED = made(box("large", 0, 0, 90, 70), box("small", 20, 20, 30, 30), box("middle", 10, 10, 60, 60));

test("later labels lie above earlier ones, and hidden ones are not hit", () => {
  const hit = (hidden: ReadonlySet<string>) =>
    indexOf(NESTED)
      .hit(imagePoint(25, 25), 0, hidden)
      .map((label) => label.id);
  expect(hit(NONE)).toEqual(["2", "1", "0"]);
  expect(hit(new Set(["2"]))).toEqual(["1", "0"]);
});

test("clicking again goes through what lies there, small ones first, and round", () => {
  const hits = indexOf(NESTED).hit(imagePoint(25, 25), 0, NONE);
  const order: string[] = [];
  let chosen: string | null = null;
  for (let i = 0; i < 4; i++) {
    chosen = chooseHit(hits, chosen)?.id ?? null;
    order.push(chosen ?? "");
  }
  expect(order).toEqual(["2", "1", "0", "2"]);
  expect(chooseHit(hits, "elsewhere")?.id).toBe("2");
  expect(chooseHit([], null)).toBeNull();
});

test("a rubber band chooses what lies in it wholly", () => {
  const enclosed = indexOf(NESTED).enclosed([5, 5, 65, 65], NONE);
  expect(enclosed.map((label) => label.id)).toEqual(["1", "2"]);
});

test("the index follows the document", () => {
  const index = indexOf(NESTED);
  const moved = applyOperations(NESTED, [
    { kind: "put", id: "1", annotation: box("small", 70, 70, 75, 75), place: null },
    { kind: "remove", id: "2" },
    { kind: "put", id: "image", annotation: { category: "sunny" } },
    { kind: "put", id: "new", annotation: box("small", 71, 71, 74, 74), place: 0 },
  ]);
  index.update(moved);
  const hit = (x: number, y: number) => index.hit(imagePoint(x, y), 0, NONE).map((label) => label.id);
  expect(hit(25, 25)).toEqual(["0"]);
  expect(hit(72, 72)).toEqual(["1", "new"]);
  expect(index.grid.size).toBe(3);
});

/** 3,000 polygons of 20 points over a picture of 4,000 x 3,000 pixels. */
function crowd(): Label[] {
  const random = seeded(8);
  return Array.from({ length: 3000 }, (_, i) => {
    const [x, y, radius] = [random() * 4000, random() * 3000, 10 + random() * 40];
    const ring = Array.from({ length: 20 }, (_, k) => {
      const angle = (2 * Math.PI * k) / 20;
      return [x + radius * Math.cos(angle) * (0.7 + random() * 0.3), y + radius * Math.sin(angle)];
    }).flat();
    return { id: String(i), annotation: { category: "cell", polygons: [ring] } };
  });
}

test("among 3,000 polygons a hit test looks at a few, and finds what looking at all finds", () => {
  const document = { labels: crowd(), seenBy: null };
  const index = indexOf(document, 4000, 3000);
  const random = seeded(9);
  const before = index.grid.looked;
  for (let i = 0; i < 500; i++) {
    const at = imagePoint(random() * 4000, random() * 3000);
    const hits = index.hit(at, 3, NONE);
    if (i % 20 > 0) continue;
    const slow = document.labels.filter((label) => covers(label.annotation, at.x, at.y, 3));
    expect(hits.map((label) => label.id)).toEqual(slow.reverse().map((label) => label.id));
  }
  expect((index.grid.looked - before) / 500).toBeLessThan(30);
});

test("after a step among 3,000 polygons one is entered anew", () => {
  const document = { labels: crowd(), seenBy: null };
  const index = indexOf(document, 4000, 3000);
  const entered: string[] = [];
  const set = index.grid.set.bind(index.grid);
  index.grid.set = (id, bounds) => {
    entered.push(id);
    set(id, bounds);
  };
  index.update(
    applyOperations(document, [{ kind: "put", id: "77", annotation: box("cell", 1, 1, 9, 9), place: null }]),
  );
  expect(entered).toEqual(["77"]);
});
