import { useState } from "react";
import { hasEnded, useEndJob } from "../../api/jobs";
import { useMay } from "../../api/people";
import type { Job } from "../../api/types";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { ErrorNotice } from "../../ui/notice";
import { titleOf } from "./words";

/** How a job is ended before its time. */
export function JobActions({ job }: { job: Job }) {
  const [asking, setAsking] = useState(false);
  const end = useEndJob(job.id);
  const mayEnd = useMay("editor");
  if (hasEnded(job) || !mayEnd) return null;
  const isAsked = job.asked !== null;
  return (
    <>
      {job.can_stop && (
        <Button
          icon="stop"
          busy={end.isPending && end.variables === "stop"}
          disabled={isAsked}
          onClick={() => end.mutate("stop")}
          title="Ends the training and keeps the best weights so far as a model"
        >
          Stop and keep
        </Button>
      )}
      <Button icon="close" disabled={job.asked === "cancel"} onClick={() => setAsking(true)}>
        Cancel job
      </Button>
      {end.error && <ErrorNotice error={end.error} />}
      {asking && (
        <Dialog
          title="Cancel this job?"
          onClose={() => setAsking(false)}
          actions={
            <>
              <Button onClick={() => setAsking(false)}>Let it go on</Button>
              <Button
                kind="danger"
                busy={end.isPending}
                onClick={() => end.mutate("cancel", { onSettled: () => setAsking(false) })}
              >
                Cancel job
              </Button>
            </>
          }
        >
          <p>
            “{titleOf(job)}” ends within seconds, and nothing of it is kept.
            {job.can_stop && " To keep the best weights so far, choose “Stop and keep” instead."}
          </p>
        </Dialog>
      )}
    </>
  );
}
