import { Link } from "react-router";
import { madePath } from "../../api/addresses";
import type { Job } from "../../api/types";
import { buttonClass } from "../../ui/button";
import { Notice } from "../../ui/notice";
import { tellProposals } from "./words";

const NOUNS = {
  datasets: "dataset",
  models: "model",
  artifacts: "artifact",
  deployments: "deployment",
  reports: "report",
} as const;

/** What a job made, and the way there. */
export function JobMade({ job }: { job: Job }) {
  const { made } = job;
  if (!made) return null;
  const noun = NOUNS[made.shelf];
  const path = madePath(made.shelf, made.name, made.id) + (job.kind === "annotate" ? "?state=proposed" : "");
  return (
    <Notice
      kind="good"
      action={
        <Link className={buttonClass("primary")} to={path}>
          {job.kind === "annotate" ? "Look through them" : `Open the ${noun}`}
        </Link>
      }
    >
      <b>{job.kind === "annotate" ? tellProposals(made.facts) : `The ${noun} “${made.name}” is ready.`}</b>
    </Notice>
  );
}
