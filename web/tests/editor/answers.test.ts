import { expect, test } from "vitest";
import { ANSWER_MS, readOutcome, waitForOutcome } from "../../src/editor/answers";
import { waitAfter } from "../../src/editor/backoff";
import type { SendOutcome } from "../../src/editor/ports";
import { HandClock, makeWorld, settle } from "./world";

const ITEM = makeWorld().server.item(0);

const WRITTEN = { revision: 1, seen_by: null, cleaned: [] };

test("what was written brings what the server cleaned, what is stale the picture", () => {
  expect(readOutcome(200, WRITTEN)).toEqual({ kind: "written", written: WRITTEN });
  expect(readOutcome(201, WRITTEN)).toEqual({ kind: "written", written: WRITTEN });
  expect(readOutcome(409, { title: "Conflict", present: ITEM })).toEqual({ kind: "stale", present: ITEM });
});

test.each([0, 401, 408, 429, 500, 502, 503])("status %i may pass by itself", (status) => {
  expect(readOutcome(status, { detail: "later" })).toEqual({ kind: "unreachable", message: "later" });
});

test.each([400, 403, 404, 409, 413, 422])("status %i is the last word", (status) => {
  expect(readOutcome(status, { title: "No", detail: "unknown category" })).toEqual({
    kind: "refused",
    message: "unknown category",
  });
});

test("a refusal without a reason names its status", () => {
  expect(readOutcome(422, { title: "Unprocessable" })).toMatchObject({ message: "Unprocessable" });
  expect(readOutcome(422, { detail: [{ msg: "x" }] })).toMatchObject({ message: "the server answered 422" });
  expect(readOutcome(502, null)).toMatchObject({ message: "the server answered 502" });
});

test("whoever asks may reject, throw or stay silent", async () => {
  const clock = new HandClock();
  const told: SendOutcome[] = [];
  const wait = (ask: () => Promise<SendOutcome>) => waitForOutcome(ask, clock).then((outcome) => told.push(outcome));
  wait(async () => ({ kind: "written", written: WRITTEN }));
  wait(() => Promise.reject(Object.assign(new Error("gone"), { status: 404 })));
  wait(() => {
    throw new TypeError("Failed to fetch");
  });
  wait(() => new Promise(() => {}));
  await settle();
  expect(told).toHaveLength(3);
  expect(told).toContainEqual({ kind: "written", written: WRITTEN });
  expect(told).toContainEqual({ kind: "refused", message: "gone" });
  expect(told).toContainEqual({ kind: "unreachable", message: "Failed to fetch" });
  await clock.pass(ANSWER_MS);
  expect(told[3]).toEqual({ kind: "unreachable", message: "the server did not answer in time" });
});

test("waits double up to half a minute, between half and all by chance", () => {
  const least = [1, 2, 3, 7, 8, 5000].map((failures) => waitAfter(failures, () => 0));
  expect(least).toEqual([250, 500, 1000, 15_000, 15_000, 15_000]);
  expect(waitAfter(1, () => 0.999)).toBeCloseTo(499.75, 6);
});
