import { useMemo } from "react";
import { useParams } from "react-router";
import { useJobStory } from "../../api/job-stream";
import { hasEnded, useJob } from "../../api/jobs";
import type { Job, JobEvent } from "../../api/types";
import { Button } from "../../ui/button";
import { Frame } from "../../ui/frame";
import { ErrorNotice, Notice } from "../../ui/notice";
import { useNow } from "../../ui/now";
import { Card, Columns, Page, PageHead } from "../../ui/page";
import { Progress } from "../../ui/progress";
import { Skeleton } from "../../ui/skeleton";
import { formatDuration } from "../../ui/time";
import { toCurves } from "./curves";
import { JobActions } from "./job-actions";
import { JobFacts } from "./job-facts";
import { JobLog } from "./job-log";
import { JobMade } from "./job-made";
import styles from "./job-page.module.css";
import { JobState } from "./job-state";
import { TrainingCurves } from "./training-curves";
import { detailOf, sinceOf, titleOf } from "./words";

const SECOND_MS = 1000;

/** One job as it goes on: how far it is, its curves, its log, and what came of it. */
export function JobPage() {
  const { id = "" } = useParams();
  const job = useJob(id);
  return (
    <Frame title={job.data ? titleOf(job.data) : "Job"}>
      <Page>
        {job.error && !job.data && (
          <ErrorNotice error={job.error} action={<Button onClick={() => job.refetch()}>Try again</Button>} />
        )}
        {job.isPending && <Skeleton label="Loading the job" count={3} className={styles.placeholder ?? ""} />}
        {job.data && <Content key={id} job={job.data} />}
      </Page>
    </Frame>
  );
}

function Content({ job }: { job: Job }) {
  const { events, isConnected } = useJobStory(job.id);
  const now = useNow(SECOND_MS);
  const curves = useMemo(() => toCurves(events), [events]);
  const isOver = hasEnded(job);
  const task = typeof job.arguments.task === "string" ? job.arguments.task : "";
  return (
    <>
      <PageHead
        title={titleOf(job)}
        mark={<JobState job={job} />}
        note={`${detailOf(job)} · ${sinceOf(job, now)}`}
        actions={<JobActions job={job} />}
      />
      {!isConnected && !isOver && (
        <Notice kind="warning">
          The server does not answer; the job itself goes on. This page follows as soon as it is back.
        </Notice>
      )}
      {job.state === "failed" && <ErrorNotice error={job.error ?? "The job failed and left no reason; see its log."} />}
      {job.state === "cancelled" && <Notice>This job was cancelled; nothing of it was kept.</Notice>}
      <JobMade job={job} />
      {!isOver && <JobProgress job={job} />}
      <Columns side={<JobFacts job={job} />}>
        {job.kind === "train" && <TrainingCurves curves={curves} task={task} isRunning={!isOver} />}
        <Messages events={events} />
        <JobLog id={job.id} />
      </Columns>
    </>
  );
}

function JobProgress({ job }: { job: Job }) {
  if (job.state !== "running") {
    const reason =
      job.state === "queued" ? "Waits for its turn." : "Waits until the cores or the device that it needs are free.";
    return (
      <Card>
        <p>{reason} It starts by itself.</p>
      </Card>
    );
  }
  const left = job.remaining_s === null ? "" : `${formatDuration(job.remaining_s)} left`;
  return (
    <Card>
      <div className={styles.progress}>
        <b>{Math.floor(job.progress * 100)} %</b>
        <span>{job.stage || "starting"}</span>
        <span className={styles.left}>{left}</span>
      </div>
      <Progress label="Progress of the job" value={job.progress} />
    </Card>
  );
}

/** What the job said on its way that people should know: what was left out, what it went on from. */
function Messages({ events }: { events: readonly JobEvent[] }) {
  const said = events.filter(({ message }) => message !== "");
  if (said.length === 0) return null;
  return (
    <Card title="Notes">
      <ul className={styles.notes}>
        {said.map(({ sequence, message }) => (
          <li key={sequence}>{message}</li>
        ))}
      </ul>
    </Card>
  );
}
