/** Jobs: what is read of them, and how they are started and ended. */
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { answer, api } from "./client";
import { keys, useSession } from "./hooks";
import type { components } from "./schema";
import { shelfKeys } from "./shelves";
import type { Job, JobKind } from "./types";

type Schemas = components["schemas"];

/** A verb and what it is called with. */
export type JobRequest =
  | { readonly verb: "train"; readonly body: Schemas["Train"] }
  | { readonly verb: "compile"; readonly body: Schemas["Compile"] }
  | { readonly verb: "deploy"; readonly body: Schemas["Deploy"] }
  | { readonly verb: "measure"; readonly body: Schemas["Measure"] }
  | { readonly verb: "annotate"; readonly body: Schemas["Annotate"] };

export const jobKeys = {
  all: ["jobs"] as const,
  list: (kind: JobKind | null) => ["jobs", "list", kind] as const,
  running: ["jobs", "running"] as const,
  job: (id: string) => ["jobs", "job", id] as const,
};

const PAGE = 50;
const WHILE_RUNNING_MS = 2_000;
const WHILE_IDLE_MS = 10_000;

/** Jobs, the newest first, page by page; asked for again while any goes on. */
export function useJobs(kind: JobKind | null) {
  return useInfiniteQuery({
    queryKey: jobKeys.list(kind),
    initialPageParam: null as number | null,
    queryFn: ({ pageParam, signal }) => {
      const query = { limit: PAGE, ...(kind && { kind }), ...(pageParam !== null && { cursor: pageParam }) };
      return answer(api.GET("/v1/jobs", { params: { query }, signal }));
    },
    getNextPageParam: (page) => page.next_cursor,
    refetchInterval: (query) => {
      const isOpen = query.state.data?.pages.some((page) => page.jobs.some((job) => !hasEnded(job)));
      return isOpen ? WHILE_RUNNING_MS : WHILE_IDLE_MS;
    },
  });
}

/** The jobs that run now. When one of them ends, what jobs make is asked for again. */
export function useRunningJobs(): readonly Job[] {
  const session = useSession();
  const client = useQueryClient();
  const running = useQuery({
    queryKey: jobKeys.running,
    queryFn: () => answer(api.GET("/v1/jobs", { params: { query: { state: "running", limit: 200 } } })),
    enabled: session.isSuccess,
    refetchInterval: (query) => (query.state.data?.jobs.length ? WHILE_RUNNING_MS : WHILE_IDLE_MS),
  });
  const jobs = running.data?.jobs ?? [];
  const ids = jobs.map(({ id }) => id).join(" ");
  const before = useRef(ids);
  useEffect(() => {
    const ended = before.current.split(" ").some((id) => id && !ids.split(" ").includes(id));
    before.current = ids;
    if (!ended) return;
    for (const queryKey of [...Object.values(shelfKeys), keys.datasets, ["dataset"], ["items"], ["versions"]]) {
      void client.invalidateQueries({ queryKey });
    }
  }, [ids, client]);
  return jobs;
}

/** One job as it was when it was last asked for; the job's stream keeps it fresh. */
export function useJob(id: string) {
  return useQuery({
    queryKey: jobKeys.job(id),
    queryFn: () => answer(api.GET("/v1/jobs/{job_id}", { params: { path: { job_id: id } } })),
  });
}

/** Starts a job. A request that is sent again, after no answer came, makes no second job. */
export function useStartJob() {
  const client = useQueryClient();
  const sent = useRef({ request: "", key: "" });
  return useMutation({
    mutationFn: (request: JobRequest) => {
      const text = JSON.stringify(request);
      if (sent.current.request !== text) sent.current = { request: text, key: crypto.randomUUID() };
      return start(request, sent.current.key);
    },
    onSuccess: (job) => {
      sent.current = { request: "", key: "" };
      client.setQueryData(jobKeys.job(job.id), job);
      void client.invalidateQueries({ queryKey: jobKeys.all });
    },
  });
}

function start(request: JobRequest, key: string): Promise<Job> {
  const params = { header: { "Idempotency-Key": key } };
  switch (request.verb) {
    case "train":
      return answer(api.POST("/v1/train", { params, body: request.body }));
    case "compile":
      return answer(api.POST("/v1/compile", { params, body: request.body }));
    case "deploy":
      return answer(api.POST("/v1/deploy", { params, body: request.body }));
    case "measure":
      return answer(api.POST("/v1/measure", { params, body: request.body }));
    case "annotate":
      return answer(api.POST("/v1/annotate", { params, body: request.body }));
  }
}

/** Ends a job: "stop" keeps the best that a training has, "cancel" keeps nothing. */
export function useEndJob(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (how: "stop" | "cancel") => {
      const params = { path: { job_id: id } };
      return how === "stop"
        ? answer(api.POST("/v1/jobs/{job_id}/stop", { params }))
        : answer(api.POST("/v1/jobs/{job_id}/cancel", { params }));
    },
    onSuccess: (job) => {
      client.setQueryData(jobKeys.job(id), job);
      void client.invalidateQueries({ queryKey: jobKeys.all });
    },
  });
}

export function hasEnded(job: Pick<Job, "state">): boolean {
  return job.state === "succeeded" || job.state === "failed" || job.state === "cancelled";
}
