import { useState } from "react";
import { TextField } from "../../ui/field";
import { countOf } from "../../ui/format";
import { Notice } from "../../ui/notice";
import { JobDialog } from "../jobs/job-dialog";
import { DatasetField, useDatasetList } from "./dataset-field";

type Props = { name: string; subject: string; onClose: () => void };

/** Asks whose pictures shall get proposals of labels. */
export function ProposeDialog({ name, subject, onClose }: Props) {
  const datasets = useDatasetList();
  const [typed, setDataset] = useState<string | null>(null);
  const [threshold, setThreshold] = useState("");
  const offered = datasets.find(({ states }) => states.unlabelled > 0) ?? datasets[0];
  const dataset = datasets.find((one) => one.name === typed) ?? offered;
  const value = Number(threshold);
  const isThreshold = threshold.trim() === "" || (value >= 0 && value <= 1);
  const open = dataset ? dataset.states.unlabelled + dataset.states.proposed : 0;
  const body = {
    dataset: dataset?.name ?? "",
    with: subject,
    ...(threshold.trim() !== "" && { confidence_threshold: value }),
  };
  return (
    <JobDialog
      title={`Propose labels with ${name}`}
      action="Propose labels"
      icon="propose"
      request={dataset && isThreshold && open > 0 ? { verb: "annotate", body } : null}
      onClose={onClose}
    >
      <DatasetField datasets={datasets} value={dataset?.name ?? ""} onChange={setDataset} />
      {open > 0 ? (
        <p>
          {countOf(open, "picture")} that no person labelled {open === 1 ? "gets" : "get"} proposals, which people then
          accept or correct. What people labelled stays as it is.
        </p>
      ) : (
        dataset && <Notice>People have labelled every picture of {dataset.name}; there is nothing to propose.</Notice>
      )}
      <TextField
        label="Least confidence (optional)"
        inputMode="decimal"
        value={threshold}
        placeholder="the model's own"
        error={isThreshold ? undefined : "A number from 0 to 1"}
        hint="Lower finds more, and more that is wrong."
        onChange={(event) => setThreshold(event.target.value)}
      />
    </JobDialog>
  );
}
