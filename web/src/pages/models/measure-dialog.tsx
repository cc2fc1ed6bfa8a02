import { useState } from "react";
import { SelectField } from "../../ui/select-field";
import { JobDialog } from "../jobs/job-dialog";
import { DatasetField, useDatasetList } from "./dataset-field";
import { chooseDataset, measurableSplits } from "./lookup";

type Props = {
  /** What is measured, by its name and as the server names it. */
  name: string;
  subject: string;
  /** The version that it was trained on, whose dataset is offered first. */
  version: string | null;
  onClose: () => void;
};

/** Asks what accuracy and speed shall be measured on. */
export function MeasureDialog({ name, subject, version, onClose }: Props) {
  const datasets = useDatasetList();
  const [typed, setDataset] = useState<string | null>(null);
  const [wanted, setSplit] = useState<string | null>(null);
  const dataset = typed ?? chooseDataset(datasets, version)?.name ?? "";
  const splits = measurableSplits(datasets.find((one) => one.name === dataset)?.splits ?? {});
  const split = wanted ?? splits[0] ?? "";
  const body = { subject, dataset, split: split || null };
  return (
    <JobDialog
      title={`Measure ${name}`}
      action="Measure"
      icon="measure"
      request={dataset ? { verb: "measure", body } : null}
      onClose={onClose}
    >
      <DatasetField
        datasets={datasets}
        value={dataset}
        onChange={(next) => {
          setDataset(next);
          setSplit(null);
        }}
      />
      <SelectField
        label="Pictures"
        value={split}
        hint={split === "train" ? "It has learned from these: their result says nothing of new pictures." : undefined}
        onChange={(event) => setSplit(event.target.value)}
      >
        {splits.map((one) => (
          <option key={one} value={one}>
            Split {one}
          </option>
        ))}
        <option value="">All pictures</option>
      </SelectField>
      <p>Accuracy, latency and throughput are measured on this machine. It waits until nothing else runs here.</p>
    </JobDialog>
  );
}
