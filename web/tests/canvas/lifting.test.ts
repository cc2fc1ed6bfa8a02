import { expect, test } from "vitest";
import { liftShapes, MOST_LIFTED } from "../../src/canvas/lifting";
import { showing } from "../../src/editor/tool";
import type { Annotation, Label } from "../../src/labels/annotation";

const box: Annotation = { category: "dent", box_xyxy: [0, 0, 9, 9] };
const mask: Annotation = { category: "rust", mask: { height: 2, width: 2, counts: "04" } };
const labels: readonly Label[] = Array.from({ length: 40 }, (_, place) => ({ id: `${place}`, annotation: box }));
const source = {
  document: { labels, seenBy: null },
  selection: new Set<string>(),
  hidden: new Set<string>(),
  preview: null,
};

test("the chosen shape is lifted from the canvas, unless it is hidden", () => {
  const { absent, lifted } = liftShapes({ ...source, selection: new Set(["3"]) });
  expect([...absent]).toEqual(["3"]);
  expect(lifted).toEqual([{ id: "3", annotation: box, isSelected: true }]);
  expect(liftShapes({ ...source, selection: new Set(["3"]), hidden: new Set(["3"]) }).lifted).toEqual([]);
});

test("many chosen shapes stay on the canvas, drawn as they would become", () => {
  const selection = new Set(labels.slice(0, MOST_LIFTED + 1).map(({ id }) => id));
  const moved: Annotation = { category: "dent", box_xyxy: [5, 5, 14, 14] };
  const preview = showing({
    annotations: [...selection].map((id) => ({ id, annotation: moved })),
    replaces: selection,
  });
  const lifting = liftShapes({ ...source, selection, preview });
  expect(lifting.lifted).toEqual([]);
  expect(lifting.absent.size).toBe(0);
  expect(lifting.labels.filter(({ annotation }) => annotation === moved)).toHaveLength(MOST_LIFTED + 1);
});

test("a mask is drawn on the canvas, also while it moves", () => {
  const document = { labels: [{ id: "m", annotation: mask }], seenBy: null };
  const moved = { ...mask, category: "paint" };
  const preview = showing({ annotations: [{ id: "m", annotation: moved }], replaces: new Set(["m"]) });
  const lifting = liftShapes({ ...source, document, selection: new Set(["m"]), preview });
  expect(lifting).toEqual({ labels: [{ id: "m", annotation: moved }], absent: new Set(), lifted: [] });
});

test("a label for which a mask under the brush stands is not drawn", () => {
  const { absent, lifted } = liftShapes({ ...source, preview: showing({ replaces: new Set(["7"]) }) });
  expect([...absent]).toEqual(["7"]);
  expect(lifted).toEqual([]);
});

test("where nothing is held, the labels are the document's own", () => {
  expect(liftShapes(source).labels).toBe(labels);
});
