import { expect, test } from "vitest";
import type { Annotation, Attributes, LabelDocument, Operation, Put } from "../../src/labels/annotation";
import { carryAttributes } from "../../src/labels/attributes";
import {
  applyOperations,
  findAdded,
  findLabel,
  findViewer,
  invertOperations,
  placesOf,
  rebaseOperations,
  sameAnnotation,
  shareLabels,
} from "../../src/labels/document";
import { box, seeded } from "../editor/world";
import fixture from "../fixtures/operations.json";

const A = box("a", 0, 0, 10, 10);
const B = box("b", 5, 5, 15, 15);
const PROPOSAL: Annotation = { ...B, origin: "model", confidence: 0.5 };

function made(...labels: [string, Annotation][]): LabelDocument {
  return { labels: labels.map(([id, annotation]) => ({ id, annotation })), seenBy: null };
}

function put(id: string, annotation: Annotation, place: number | null = null): Put {
  return { kind: "put", id, annotation, place };
}

function ids(document: LabelDocument): string {
  return document.labels.map((label) => label.id).join("");
}

test("a put adds at the end, at a place, or replaces where it was", () => {
  const document = made(["x", A], ["y", A]);
  expect(ids(applyOperations(document, [put("z", B)]))).toBe("xyz");
  expect(ids(applyOperations(document, [put("z", B, 1)]))).toBe("xzy");
  expect(ids(applyOperations(document, [put("z", B, 99)]))).toBe("xyz");
  const replaced = applyOperations(document, [put("x", B)]);
  expect(ids(replaced)).toBe("xy");
  expect(findLabel(replaced, "x")?.annotation).toBe(B);
});

test("a place is counted without the label that moves there", () => {
  const document = made(["x", A], ["y", A], ["z", A]);
  expect(ids(applyOperations(document, [put("x", A, 1)]))).toBe("yxz");
  expect(ids(applyOperations(document, [put("x", A, 2)]))).toBe("yzx");
  expect(ids(applyOperations(document, [put("z", A, 0)]))).toBe("zxy");
});

test("unchanged labels keep their objects", () => {
  const document = made(["x", A], ["y", A]);
  const next = applyOperations(document, [put("y", B)]);
  expect(next.labels[0]).toBe(document.labels[0]);
  expect(applyOperations(document, [])).toBe(document);
});

type ServerState = {
  readonly labels: LabelDocument["labels"];
  readonly seen_by: LabelDocument["seenBy"];
  readonly attributes: Attributes;
};

const read = ({ labels, seen_by, attributes }: ServerState): LabelDocument => ({
  labels,
  seenBy: seen_by,
  ...carryAttributes(attributes),
});

test("an edit makes of a document what the server makes of it", () => {
  const cases = fixture.cases as unknown as readonly {
    readonly before: ServerState;
    readonly operations: readonly Operation[];
    readonly after: ServerState;
    readonly viewer: LabelDocument["seenBy"];
  }[];
  expect(cases).toHaveLength(80);
  for (const { before, operations, after, viewer } of cases) {
    const document = applyOperations(read(before), operations);
    expect(document).toEqual(read(after));
    expect(findViewer(document)).toBe(viewer);
  }
});

test("whoever touches a person's label looked at the picture; it is noted where the labels do not tell", () => {
  const seen = (document: LabelDocument, ...operations: Operation[]) => applyOperations(document, operations).seenBy;
  expect(seen(made(), put("x", A))).toBeNull();
  expect(seen(made(["x", A]), { kind: "remove", id: "x" })).toBe("human");
  expect(seen(made(), put("x", PROPOSAL))).toBeNull();
  expect(seen(made(["x", PROPOSAL]), { kind: "remove", id: "x" })).toBe("model");
  expect(seen(made(["x", A]), put("x", PROPOSAL))).toBe("human");
  expect(seen({ ...made(["x", PROPOSAL]), seenBy: "human" }, { kind: "remove", id: "x" })).toBe("human");
  expect(seen(made(), { kind: "review", seen_by: "nobody" })).toBe("nobody");
  expect(seen(made(["x", A]), { kind: "review", seen_by: "nobody" })).toBeNull();
});

test("who looked is found as the server finds it", () => {
  expect(findViewer(made(["x", A]))).toBe("human");
  expect(findViewer(made(["x", PROPOSAL]))).toBe("model");
  expect(findViewer({ ...made(["x", PROPOSAL]), seenBy: "human" })).toBe("human");
  expect(findViewer(made())).toBeNull();
  expect(findViewer({ labels: [], seenBy: "model" })).toBe("model");
});

test("any edit and then its inverse leave the document exactly as it was", () => {
  const random = seeded(1);
  const pick = (count: number) => Math.floor(random() * count);
  const anyOperation = (document: LabelDocument): Operation => {
    const known = document.labels[pick(document.labels.length + 1)]?.id;
    const id = random() < 0.7 && known !== undefined ? known : `n${pick(12)}`;
    const kind = random();
    if (kind < 0.3) return { kind: "remove", id };
    if (kind < 0.5 && kind > 0.4) {
      const value = ["", "x", "y", null][pick(4)] ?? null;
      return { kind: "set", key: ["a", "b", "toString", "__proto__"][pick(4)] as string, value };
    }
    if (kind < 0.4) return { kind: "review", seen_by: ([null, "human", "model", "nobody"] as const)[pick(4)] ?? null };
    const annotation = { ...A, origin: random() < 0.4 ? ("model" as const) : ("human" as const), confidence: random() };
    return put(id, annotation, random() < 0.4 ? pick(8) : null);
  };
  let document: LabelDocument = made(["0", A], ["1", PROPOSAL], ["2", B]);
  for (let round = 0; round < 5000; round++) {
    const operations: Operation[] = [];
    for (let draft = document, count = 1 + pick(6); count > 0; count--) {
      const operation = anyOperation(draft);
      operations.push(operation);
      draft = applyOperations(draft, [operation]);
    }
    const after = applyOperations(document, operations);
    const back = applyOperations(after, invertOperations(document, operations));
    expect(back).toEqual(document);
    // Not only equal: what was there before has its old annotation objects again.
    for (const [place, label] of back.labels.entries()) {
      expect(label.annotation).toBe(document.labels[place]?.annotation);
    }
    document = after.labels.length > 10 ? made(["0", A]) : after;
  }
});

test("attributes are set, changed and taken away, and who looked stays", () => {
  const set = (key: string, value: string | null): Operation => ({ kind: "set", key, value });
  const document: LabelDocument = { ...made(), seenBy: "nobody", attributes: { line: "3", day: "28" } };
  const operations = [set("line", "4"), set("day", null), set("absent", null), set("new", "")];
  const after = applyOperations(document, operations);
  expect(after).toEqual({ labels: [], seenBy: "nobody", attributes: { line: "4", new: "" } });
  expect(applyOperations(after, invertOperations(document, operations))).toEqual(document);
  expect("attributes" in applyOperations(document, [set("line", null), set("day", null)])).toBe(false);
  expect(rebaseOperations(made(), operations, [])).toEqual(operations);
  const read = JSON.parse(JSON.stringify(document)) as LabelDocument;
  expect(shareLabels(document, read)).toBe(document);
  expect(shareLabels(document, after).attributes).toEqual({ line: "4", new: "" });
  expect("attributes" in shareLabels(document, { labels: [], seenBy: "nobody" })).toBe(false);
});

test("a long history goes back step by step, and forward again", () => {
  const random = seeded(4);
  const states = [made(["0", A], ["1", B])];
  const backs: Operation[][] = [];
  for (let i = 0; i < 500; i++) {
    const document = states.at(-1) as LabelDocument;
    const id = document.labels[Math.floor(random() * document.labels.length)]?.id;
    const operation: Operation = random() < 0.4 && id !== undefined ? { kind: "remove", id } : put(`n${i}`, A, i % 3);
    backs.push(invertOperations(document, [operation]));
    states.push(applyOperations(document, [operation]));
  }
  let document = states.pop() as LabelDocument;
  while (backs.length > 0) {
    document = applyOperations(document, backs.pop() as Operation[]);
    expect(document).toEqual(states.pop());
  }
});

test("an operation on a label that is gone is dropped, one that brings it in stays", () => {
  const operations = [put("x", B), put("new", B), { kind: "remove", id: "y" }, put("y", A)] as Operation[];
  const before = made(["x", A], ["y", A]);
  const adds = findAdded(before, operations);
  expect(adds).toEqual(["new"]);
  expect(rebaseOperations(before, operations, adds)).toEqual([put("x", B), put("new", B), { kind: "remove", id: "y" }]);
  expect(rebaseOperations(made(), operations, adds)).toEqual([put("new", B)]);
  const review: Operation = { kind: "review", seen_by: "human" };
  expect(
    rebaseOperations(made(), [put("new", A), put("new", B), { kind: "remove", id: "new" }, review], ["new"]),
  ).toEqual([put("new", A), put("new", B), { kind: "remove", id: "new" }, review]);
});

test("the server's word keeps the objects of what it does not change", () => {
  const older = made(["x", A], ["y", { category: "p", polygons: [[0, 0, 1, 0, 0, 1]] }]);
  const read = JSON.parse(JSON.stringify(older)) as LabelDocument;
  expect(shareLabels(older, read)).toBe(older);
  const newer = applyOperations(read, [put("x", B)]);
  const shared = shareLabels(older, { ...newer, seenBy: null });
  expect(shared.labels[1]).toBe(older.labels[1]);
  expect(shared.labels[0]).not.toBe(older.labels[0]);
  expect(shareLabels(older, { ...read, seenBy: "human" })).toEqual({ ...older, seenBy: "human" });
  expect(ids(shareLabels(older, { ...read, labels: [...read.labels].reverse() }))).toBe("yx");
});

test("what is left out has its default", () => {
  const spoken: Annotation = {
    ...A,
    polygons: null,
    confidence: null,
    origin: "human",
    is_crowd: false,
    attributes: {},
  };
  expect(sameAnnotation(A, spoken)).toBe(true);
  expect(sameAnnotation(A, { ...A, origin: "model" })).toBe(false);
  expect(sameAnnotation(A, { ...A, attributes: { by: "human" } })).toBe(false);
  expect(sameAnnotation(A, { ...A, confidence: 0 })).toBe(false);
  expect(sameAnnotation(A, box("a", 0, 0, 10, 11))).toBe(false);
});

test("of 3,000 labels a step makes one new object, and all can be removed and brought back", () => {
  const many = made(...Array.from({ length: 3000 }, (_, i): [string, Annotation] => [String(i), { ...A }]));
  const next = applyOperations(many, [put("1500", B)]);
  expect(next.labels.filter((label, i) => label !== many.labels[i])).toHaveLength(1);
  const removal = many.labels.map<Operation>(({ id }) => ({ kind: "remove", id }));
  const emptied = applyOperations(many, removal);
  expect(emptied.labels).toEqual([]);
  expect(applyOperations(emptied, invertOperations(many, removal))).toEqual(many);
  expect(placesOf(many.labels).get("2999")).toBe(2999);
});
