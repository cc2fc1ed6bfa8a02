import { expect, test } from "vitest";
import { parseCurves, toCurves } from "../../../src/pages/jobs/curves";

const tell = (metrics: Record<string, number>) => ({ metrics });

test("events without a step belong to no curve", () => {
  expect(toCurves([tell({}), tell({ annotations: 3 })])).toEqual({ loss: [], rate: [], metric: [], best: [] });
});

test("a curve holds what its events told", () => {
  const curves = toCurves([
    tell({ step: 10, loss: 2, learning_rate: 0.1 }),
    tell({ step: 12, best: 0.3 }),
    tell({ step: 20, loss: 1, learning_rate: 0.05, metric: 0.4 }),
  ]);
  expect(curves.loss).toEqual([
    { x: 10, y: 2 },
    { x: 20, y: 1 },
  ]);
  expect(curves.rate.at(-1)).toEqual({ x: 20, y: 0.05 });
  expect(curves.metric).toEqual([{ x: 20, y: 0.4 }]);
});

test("the best never falls", () => {
  const metrics = [0.2, 0.5, 0.4].map((metric, place) => tell({ step: place, metric }));
  expect(toCurves(metrics).best.map(({ y }) => y)).toEqual([0.2, 0.5, 0.5]);
});

test("of steps that were passed twice the later count", () => {
  const steps = [10, 20, 30, 20, 40].map((step, place) => tell({ step, loss: place }));
  expect(toCurves(steps).loss).toEqual([
    { x: 10, y: 0 },
    { x: 20, y: 3 },
    { x: 40, y: 4 },
  ]);
});

test("a Model's file holds a point a line, and half a line is none", () => {
  const curves = parseCurves(
    '{"step":1,"loss":3,"learning_rate":0.1}\n{"step":2,"loss":2,"metric":0.5}\n{"step":3,"lo',
  );
  expect(curves.loss).toHaveLength(2);
  expect(curves.metric).toEqual([{ x: 2, y: 0.5 }]);
});
