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
  let pending: JobEvent[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  let flushTimer: ReturnType<typeof setTimeout> | undefined;

  const flush = () => {
    flushTimer = undefined;
    if (pending.length > 0) listener.onEvents(pending);
    pending = [];
  };
  const end = () => {
    isOver = true;
    source?.close();
    clearTimeout(timer);
    clearTimeout(flushTimer);
  };
  const take = (job: Job) => {
    listener.onJob(job);
    if (!hasEnded(job)) return;
    flush();
    end();
  };
  const open = () => {
    source = new EventSource(`${path}/events`);
    source.onopen = () => listener.onConnection(true);
    source.addEventListener("progress", ({ data }: MessageEvent<string>) => {
      pending.push(JSON.parse(data) as JobEvent);
      flushTimer ??= setTimeout(flush, FLUSH_MS);
    });
    source.addEventListener("job", ({ data }: MessageEvent<string>) => take(JSON.parse(data) as Job));
    source.onerror = () => {
      listener.onConnection(false);
      if (source?.readyState === EventSource.CLOSED) timer = setTimeout(poll, POLL_MS);
    };
  };
  const poll = async () => {
    try {
      const params = { path: { job_id: id } };
      const job = await answer(api.GET("/v1/jobs/{job_id}", { params }));
      const { events } = await answer(api.GET("/v1/jobs/{job_id}/progress", { params }));
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

/** Everything that a job told so far, and whether the server is heard of; the job itself goes where `useJob` reads it. */
export function useJobStory(id: string): { events: readonly JobEvent[]; isConnected: boolean } {
  const client = useQueryClient();
  const [events, setEvents] = useState<readonly JobEvent[]>([]);
  const [isConnected, setConnected] = useState(true);
  useEffect(() => {
    setEvents([]);
    return followJob(id, {
      onEvents: (incoming) => setEvents((known) => foldEvents(known, incoming)),
      onJob: (job) => client.setQueryData(jobKeys.job(id), job),
      onConnection: setConnected,
    });
  }, [id, client]);
  return { events, isConnected };
}
