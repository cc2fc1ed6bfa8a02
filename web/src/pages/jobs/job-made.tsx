import { Link } from "react-router";
import { madePath } from "../../api/addresses";
import type { Job } from "../../api/types";
import { buttonClass } from "../../ui/button";
import { Notice } from "../../ui/notice";

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
  return (
    <Notice
      kind="good"
      action={
        <Link className={buttonClass("primary")} to={madePath(made.shelf, made.name, made.id)}>
          Open the {noun}
        </Link>
      }
    >
      {job.kind === "annotate" ? <Proposed job={job} /> : <b>{`The ${noun} “${made.name}” is ready.`}</b>}
    </Notice>
  );
}

function Proposed({ job }: { job: Job }) {
  const facts = job.made?.facts ?? {};
  return (
    <>
      <b>{facts.images_annotated ?? 0} pictures</b> have proposals now ({facts.annotations ?? 0} in all); on{" "}
      {facts.images_without ?? 0} nothing was found, and {facts.images_left ?? 0} that people labelled were left as they
      are.
    </>
  );
}
