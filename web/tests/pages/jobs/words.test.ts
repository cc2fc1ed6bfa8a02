import { describe, expect, test } from "vitest";
import type { Job } from "../../../src/api/types";
import {
  detailOf,
  orderJobs,
  shortenReference,
  sinceOf,
  stateOf,
  tellProposals,
  titleOf,
} from "../../../src/pages/jobs/words";

type Named = Pick<Job, "kind" | "arguments">;

test.each<[Named, string, string]>([
  [
    {
      kind: "train",
      arguments: {
        dataset: "parts@835359440b19c96a",
        task: "detection",
        model: "fast",
        budget: "10min",
        name: "first",
      },
    },
    "Train first",
    "detection on parts@83535944, fast model, 10min",
  ],
  [
    { kind: "compile", arguments: { model: "first@12ab", device: "cpu", precision: null } },
    "Compile first",
    "first@12ab in the best precision for cpu",
  ],
  [
    { kind: "compile", arguments: { model: "first@12ab", device: "cpu", precision: "int8", name: "small" } },
    "Compile small",
    "first@12ab in INT8 for cpu",
  ],
  [{ kind: "deploy", arguments: { artifact: "first@12ab", name: "line-1" } }, "Deploy line-1", "first@12ab"],
  [
    { kind: "measure", arguments: { subject: "line-1", dataset: "parts", split: null } },
    "Measure line-1",
    "on parts, all pictures",
  ],
  [
    { kind: "measure", arguments: { subject: "line-1", dataset: "parts", split: "test" } },
    "Measure line-1",
    "on parts, split test",
  ],
  [{ kind: "annotate", arguments: { dataset: "parts", with: "line-1" } }, "Propose labels for parts", "with line-1"],
])("a job is told in words: %o", (job, title, detail) => {
  expect(titleOf(job)).toBe(title);
  expect(detailOf(job)).toBe(detail);
});

test("a reference keeps its name and the start of its id", () => {
  expect(shortenReference("parts@835359440b19c96a")).toBe("parts@83535944");
  expect(shortenReference("parts")).toBe("parts");
});

test("a job that was asked to end says so until it has", () => {
  expect(stateOf({ state: "running", asked: "stop" })).toBe("stopping");
  expect(stateOf({ state: "running", asked: "cancel" })).toBe("cancelling");
  expect(stateOf({ state: "cancelled", asked: "cancel" })).toBe("cancelled");
});

describe("since", () => {
  const now = Date.parse("2026-03-10T12:00:00Z");
  const created_at = "2026-03-10T11:50:00Z";
  test("a job that waits was asked for", () => {
    expect(sinceOf({ state: "queued", created_at, started_at: null, ended_at: null }, now)).toBe("asked 10 min ago");
  });
  test("a job that runs has run for a while", () => {
    const started_at = "2026-03-10T11:58:00Z";
    expect(sinceOf({ state: "running", created_at, started_at, ended_at: null }, now)).toBe("for 2 min");
  });
  test("a job that ended took its time", () => {
    const [started_at, ended_at] = ["2026-03-10T11:51:00Z", "2026-03-10T11:55:30Z"];
    expect(sinceOf({ state: "failed", created_at, started_at, ended_at }, now)).toBe("5 min ago, took 4 min 30 s");
  });
  test("a job that never ran took none", () => {
    const ended_at = "2026-03-10T11:55:00Z";
    expect(sinceOf({ state: "cancelled", created_at, started_at: null, ended_at }, now)).toBe("5 min ago");
  });
});

test("running jobs stand first, then those that wait as they came, then the newest; each once", () => {
  const make = (number: number, state: Job["state"]) => ({ id: `job-${number}`, number, state }) as Job;
  const listed = [
    make(10, "waiting_for_device"),
    make(9, "succeeded"),
    make(8, "queued"),
    make(7, "running"),
    make(6, "failed"),
  ];
  const ordered = orderJobs([make(7, "running"), make(1, "running")], listed);
  expect(ordered.map(({ number }) => number)).toEqual([7, 1, 8, 10, 9, 6]);
});

test.each([
  [{ annotations: 133, images_annotated: 8, images_without: 0, images_left: 0 }, "133 proposals on 8 pictures."],
  [
    { annotations: 1, images_annotated: 1, images_without: 2, images_left: 5 },
    "1 proposal on 1 picture; on 2 pictures nothing was found; 5 pictures that people labelled stayed as they were.",
  ],
])("proposals of %o are told", (facts, words) => expect(tellProposals(facts)).toBe(words));
