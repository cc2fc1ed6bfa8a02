import { Link, useSearchParams } from "react-router";
import { useJobs, useRunningJobs } from "../../api/jobs";
import type { Job, JobKind } from "../../api/types";
import { Button, buttonClass } from "../../ui/button";
import { EmptyState } from "../../ui/empty-state";
import { Select } from "../../ui/field";
import { Frame } from "../../ui/frame";
import { ErrorNotice } from "../../ui/notice";
import { useNow } from "../../ui/now";
import { Page, PageHead } from "../../ui/page";
import { Skeleton } from "../../ui/skeleton";
import table from "../../ui/table.module.css";
import { JobRow } from "./job-row";
import styles from "./jobs-page.module.css";
import { KINDS, orderJobs } from "./words";

const SECOND_MS = 1000;

/** What runs, what waits, and what has been done. */
export function JobsPage() {
  const [search, setSearch] = useSearchParams();
  const kind = readKind(search.get("kind"));
  const jobs = useJobs(kind);
  const running = useRunningJobs().filter((job) => !kind || job.kind === kind);
  const now = useNow(SECOND_MS);
  const shown = orderJobs(running, jobs.data?.pages.flatMap((page) => page.jobs) ?? []);
  return (
    <Frame title="Jobs">
      <Page>
        <PageHead
          title="Jobs"
          note={running.length > 0 ? `${running.length} running` : "Nothing runs now"}
          actions={
            <KindFilter kind={kind} onChange={(next) => setSearch(next ? { kind: next } : {}, { replace: true })} />
          }
        />
        {jobs.error && (
          <ErrorNotice error={jobs.error} action={<Button onClick={() => jobs.refetch()}>Try again</Button>} />
        )}
        {jobs.isPending && <Skeleton label="Loading jobs" count={4} className={styles.placeholder ?? ""} />}
        {jobs.isSuccess && shown.length === 0 && <NoJobs kind={kind} />}
        {shown.length > 0 && <JobTable jobs={shown} now={now} />}
        {jobs.hasNextPage && (
          <Button className={styles.more ?? ""} busy={jobs.isFetchingNextPage} onClick={() => jobs.fetchNextPage()}>
            Show older jobs
          </Button>
        )}
      </Page>
    </Frame>
  );
}

function JobTable({ jobs, now }: { jobs: readonly Job[]; now: number }) {
  return (
    <div className={table.wrap}>
      <table className={table.table}>
        <thead>
          <tr>
            <th scope="col">Job</th>
            <th scope="col">State</th>
            <th scope="col">Progress</th>
            <th scope="col">Time left</th>
            <th scope="col">Since</th>
          </tr>
        </thead>
        <tbody>
          {jobs.map((job) => (
            <JobRow key={job.id} job={job} now={now} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function readKind(text: string | null): JobKind | null {
  return text !== null && text in KINDS ? (text as JobKind) : null;
}

function KindFilter({ kind, onChange }: { kind: JobKind | null; onChange: (kind: string) => void }) {
  return (
    <Select label="Kind of job" value={kind ?? ""} onChange={(event) => onChange(event.target.value)}>
      <option value="">Every kind</option>
      {Object.entries(KINDS).map(([value, { name }]) => (
        <option key={value} value={value}>
          {name}
        </option>
      ))}
    </Select>
  );
}

function NoJobs({ kind }: { kind: JobKind | null }) {
  return (
    <EmptyState
      icon="queue"
      title={kind ? `No job of the kind “${KINDS[kind].name}” yet` : "No jobs yet"}
      actions={
        <Link className={buttonClass("primary")} to="/">
          Go to the datasets
        </Link>
      }
    >
      <p>
        Training, compiling, measuring and proposing labels run here in the background. Train a model on a dataset
        first.
      </p>
    </EmptyState>
  );
}
