import { Link } from "react-router";
import { jobPath } from "../../api/addresses";
import type { Job } from "../../api/types";
import { Icon } from "../../ui/icon";
import { Progress } from "../../ui/progress";
import table from "../../ui/table.module.css";
import { formatDuration } from "../../ui/time";
import styles from "./job-row.module.css";
import { JobState } from "./job-state";
import { detailOf, KINDS, sinceOf, titleOf } from "./words";

/** A job in the list; the whole row is its link. */
export function JobRow({ job, now }: { job: Job; now: number }) {
  const isRunning = job.state === "running";
  return (
    <tr>
      <th scope="row">
        <div className={styles.job}>
          <span className={styles.icon}>
            <Icon name={KINDS[job.kind].icon} />
          </span>
          <div className={table.main}>
            <Link to={jobPath(job.id)}>{titleOf(job)}</Link>
            <p className={table.detail}>{detailOf(job)}</p>
            {job.error && <p className={styles.error}>{job.error}</p>}
          </div>
        </div>
      </th>
      <td>
        <JobState job={job} />
      </td>
      <td className={styles.progress}>{isRunning && <RowProgress job={job} />}</td>
      <td className={table.soft}>{isRunning && job.remaining_s !== null ? formatDuration(job.remaining_s) : ""}</td>
      <td className={table.soft}>{sinceOf(job, now)}</td>
    </tr>
  );
}

function RowProgress({ job }: { job: Job }) {
  return (
    <>
      <Progress label={`Progress of ${titleOf(job)}`} value={job.progress} />
      <p className={styles.stage}>
        {Math.floor(job.progress * 100)} % {job.stage}
      </p>
    </>
  );
}
