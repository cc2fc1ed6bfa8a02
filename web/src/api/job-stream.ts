/**
 * A job as it goes on: server-sent events, which the browser asks for again by itself when a connection breaks. Where the server
 * refuses the stream (it restarted, or too many are open), the job is asked for plainly until the stream is there again.
 */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { answer, api } from "./client";
import { foldEvents } from "./job-story";
import { hasEnded, jobKeys } from "./jobs";
import type { Job, JobEvent } from "./types";

export type JobListener = {
  readonly onEvents: (events: readonly JobEvent[]) => void;
  readonly onJob: (job: Job) => void;
  /** Whether the server is heard of now. */
  readonly onConnection: (isConnected: boolean) => void;
};

const FLUSH_MS = 200;
const POLL_MS = 3_000;

/** Follows a job until it has ended. Returns what ends the following. */
export function followJob(id: string, listener: JobListener): () => void {
  const path = `/v1/jobs/${encodeURIComponent(id)}`;
  let source: EventSource | null = null;
  let isOver = false;
  const batch = makeBatch(listener.onEvents);
  let timer: ReturnType<typeof setTimeout> | undefined;

  const end = () => {
    isOver = true;
    source?.close();
    clearTimeout(timer);
    batch.drop();
  };
  const take = (job: Job) => {
    listener.onJob(job);
    if (!hasEnded(job)) return;
    batch.flush();
    end();
  };
  const open = () => {
    source = new EventSource(`${path}/events`);
    source.onopen = () => listener.onConnection(true);
    source.addEventListener("progress", ({ data }: MessageEvent<string>) => batch.push(JSON.parse(data) as JobEvent));
    source.addEventListener("job", ({ data }: MessageEvent<string>) => take(JSON.parse(data) as Job));
    source.onerror = () => {
      listener.onConnection(false);
      if (source?.readyState === EventSource.CLOSED) timer = setTimeout(poll, POLL_MS);
    };
  };
  const poll = async () => {
    try {
      const { job, events } = await readJob(id);
      if (isOver) return;
      listener.onConnection(true);
      listener.onEvents(events);
      take(job);
      if (!isOver) open();
    } catch {
      if (!isOver) timer = setTimeout(poll, POLL_MS);
    }
  };
  open();
  return end;
}

/** Passes events on a few times a second, however many come: a stream begins with all there are. */
function makeBatch(pass: (events: readonly JobEvent[]) => void) {
  let pending: JobEvent[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const drop = () => {
    clearTimeout(timer);
    timer = undefined;
    pending = [];
  };
  const flush = () => {
    const events = pending;
    drop();
    if (events.length > 0) pass(events);
  };
  const push = (event: JobEvent) => {
    pending.push(event);
    timer ??= setTimeout(flush, FLUSH_MS);
  };
  return { push, flush, drop };
}

/** The job and all that it told, asked for plainly. */
async function readJob(id: string): Promise<{ job: Job; events: readonly JobEvent[] }> {
  const params = { path: { job_id: id } };
  const job = await answer(api.GET("/v1/jobs/{job_id}", { params }));
  const { events } = await answer(api.GET("/v1/jobs/{job_id}/progress", { params }));
  return { job, events };
}

/** Does something while the page is seen: a browser has six connections to a server, and a stream of a hidden tab holds one. */
export function whileSeen(begin: () => () => void): () => void {
  let end: (() => void) | null = null;
  const follow = () => {
    end?.();
    end = document.hidden ? null : begin();
  };
  document.addEventListener("visibilitychange", follow);
  follow();
  return () => {
    document.removeEventListener("visibilitychange", follow);
    end?.();
  };
}

/** Everything that a job told so far, and whether the server is heard of; the job itself goes where `useJob` reads it. */
export function useJobStory(id: string): { events: readonly JobEvent[]; isConnected: boolean } {
  const client = useQueryClient();
  const [events, setEvents] = useState<readonly JobEvent[]>([]);
  const [isConnected, setConnected] = useState(true);
  useEffect(() => {
    setEvents([]);
    return whileSeen(() =>
      followJob(id, {
        onEvents: (incoming) => setEvents((known) => foldEvents(known, incoming)),
        onJob: (job) => client.setQueryData(jobKeys.job(id), job),
        onConnection: setConnected,
      }),
    );
  }, [id, client]);
  return { events, isConnected };
}
