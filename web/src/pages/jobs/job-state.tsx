import type { Job } from "../../api/types";
import { Pill, type PillTone } from "../../ui/pill";
import { stateOf } from "./words";

const TONES: Readonly<Record<Job["state"], PillTone>> = {
  queued: "plain",
  waiting_for_device: "warning",
  running: "accent",
  succeeded: "good",
  failed: "bad",
  cancelled: "plain",
};

export function JobState({ job }: { job: Job }) {
  return <Pill tone={TONES[job.state]}>{stateOf(job)}</Pill>;
}
