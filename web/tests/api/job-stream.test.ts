import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { followJob, type JobListener, whileSeen } from "../../src/api/job-stream";
import type { Job, JobEvent } from "../../src/api/types";

const read = vi.hoisted(() => vi.fn());
vi.mock("../../src/api/client", () => ({ answer: (call: unknown) => call, api: { GET: read } }));

/** A stream that does what a test tells it. */
class Stream extends EventTarget {
  static readonly CLOSED = 2;
  static opened: Stream[] = [];
  readyState = 1;
  onopen: () => void = () => {};
  onerror: () => void = () => {};
  constructor(readonly url: string) {
    super();
    Stream.opened.push(this);
  }
  close() {
    this.readyState = Stream.CLOSED;
  }
  tell(name: string, data: unknown) {
    this.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(data) }));
  }
  refuse() {
    this.readyState = Stream.CLOSED;
    this.onerror();
  }
}

const told: (readonly JobEvent[])[] = [];
const jobs: string[] = [];
const connections: boolean[] = [];
const listener: JobListener = {
  onEvents: (events) => told.push(events),
  onJob: ({ state }) => jobs.push(state),
  onConnection: (isConnected) => connections.push(isConnected),
};
const job = (state: Job["state"]) => ({ id: "ab12", state }) as Job;
const event = (sequence: number) => ({ sequence, metrics: {}, message: "" });

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("EventSource", Stream);
  for (const list of [Stream.opened, told, jobs, connections]) list.length = 0;
  read.mockReset();
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const stream = (place = 0) => Stream.opened[place] as Stream;

test("events that come one after the other are passed on together", () => {
  followJob("ab12", listener);
  expect(stream().url).toBe("/v1/jobs/ab12/events");
  for (const sequence of [1, 2, 3]) stream().tell("progress", event(sequence));
  expect(told).toEqual([]);
  vi.advanceTimersByTime(1000);
  expect(told.map((events) => events.length)).toEqual([3]);
});

test("a job that ended ends the stream, and no event of it is lost", () => {
  followJob("ab12", listener);
  stream().tell("progress", event(1));
  stream().tell("job", job("succeeded"));
  expect(told.flat()).toHaveLength(1);
  expect(jobs).toEqual(["succeeded"]);
  expect(stream().readyState).toBe(Stream.CLOSED);
});

test("a connection that broke is left to the browser, which asks again", () => {
  followJob("ab12", listener);
  stream().onerror();
  vi.advanceTimersByTime(60_000);
  expect(Stream.opened).toHaveLength(1);
  stream().onopen();
  expect(connections).toEqual([false, true]);
});

test("a stream that is refused is opened again once the job is answered", async () => {
  read.mockImplementation(async (path: string) =>
    path.endsWith("progress") ? { events: [event(7)] } : job("running"),
  );
  followJob("ab12", listener);
  stream().refuse();
  await vi.advanceTimersByTimeAsync(3_000);
  expect(told.flat()).toEqual([event(7)]);
  expect(connections).toEqual([false, true]);
  expect(Stream.opened).toHaveLength(2);
});

test("a server that does not answer is asked again and again", async () => {
  read.mockRejectedValue(new Error("no answer"));
  const end = followJob("ab12", listener);
  stream().refuse();
  await vi.advanceTimersByTimeAsync(9_000);
  expect(read.mock.calls.length).toBe(3);
  end();
  await vi.advanceTimersByTimeAsync(9_000);
  expect(read.mock.calls.length).toBe(3);
});

test("what goes on while the page is seen rests while it is hidden", () => {
  const page = Object.assign(new EventTarget(), { hidden: false });
  vi.stubGlobal("document", page);
  let going = 0;
  const end = whileSeen(() => {
    going += 1;
    return () => {
      going -= 1;
    };
  });
  const turn = (hidden: boolean) => {
    page.hidden = hidden;
    page.dispatchEvent(new Event("visibilitychange"));
    return going;
  };
  expect(going).toBe(1);
  expect(turn(true)).toBe(0);
  expect(turn(false)).toBe(1);
  end();
  expect(going).toBe(0);
});
