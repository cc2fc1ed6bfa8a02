import { describe, expect, test } from "vitest";
import { foldEvents, MAX_EVENTS } from "../../src/api/job-story";
import type { JobEvent } from "../../src/api/types";

function event(sequence: number, more: Partial<JobEvent> = {}): JobEvent {
  return {
    sequence,
    at: sequence,
    stage: "training",
    progress: 0,
    remaining_s: null,
    metrics: {},
    message: "",
    ...more,
  };
}

const numbers = (events: readonly JobEvent[]) => events.map(({ sequence }) => sequence);

describe("events", () => {
  test("come after those known", () =>
    expect(numbers(foldEvents([event(1)], [event(2), event(5)]))).toEqual([1, 2, 5]));
  test("that are known already are left out, as after a lost connection", () => {
    expect(numbers(foldEvents([event(1), event(2)], [event(1), event(2), event(3)]))).toEqual([1, 2, 3]);
  });
  test("that bring nothing new leave the list itself", () => {
    const known = [event(1)];
    expect(foldEvents(known, [event(1)])).toBe(known);
    expect(foldEvents(known, [])).toBe(known);
  });
  test("are put in order and taken once", () => {
    expect(numbers(foldEvents([], [event(3), event(1), event(3)]))).toEqual([1, 3]);
  });
});

describe("of very many events", () => {
  const many = Array.from({ length: MAX_EVENTS * 3 }, (_, place) => event(place + 1));
  test("not more than the limit stay, the last among them", () => {
    const kept = foldEvents([], many);
    expect(kept.length).toBeLessThanOrEqual(MAX_EVENTS);
    expect(kept.at(-1)?.sequence).toBe(many.length);
  });
  test("validations and what was said stay", () => {
    const marked = many.map((one) =>
      one.sequence === 2
        ? event(2, { metrics: { metric: 0.5 } })
        : one.sequence === 4
          ? event(4, { message: "resumed" })
          : one,
    );
    expect(numbers(foldEvents([], marked))).toEqual(expect.arrayContaining([2, 4]));
  });
  test("that are all marked, none goes", () => {
    const marked = many.map(({ sequence }) => event(sequence, { message: "said" }));
    expect(foldEvents([], marked)).toHaveLength(many.length);
  });
});
