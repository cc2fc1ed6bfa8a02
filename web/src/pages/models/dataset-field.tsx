import { useDatasets } from "../../api/hooks";
import type { DatasetSummary } from "../../api/types";
import { SelectField } from "../../ui/select-field";
import { tellChoice } from "./lookup";

type Props = {
  datasets: readonly DatasetSummary[];
  value: string;
  /** What stands above the datasets, with an empty value. */
  none?: string;
  /** Why it does not do without a dataset. */
  lack?: string | undefined;
  onChange: (name: string) => void;
};

/** A choice of dataset, and which of its versions that means. */
export function DatasetField({ datasets, value, none, lack, onChange }: Props) {
  const hint = useDatasets().isSuccess ? tellChoice(datasets, value, lack) : undefined;
  return (
    <SelectField label="Dataset" value={value} hint={hint} onChange={(event) => onChange(event.target.value)}>
      {none !== undefined && <option value="">{none}</option>}
      {datasets.map(({ name }) => (
        <option key={name} value={name}>
          {name}
        </option>
      ))}
    </SelectField>
  );
}

/** The datasets there are; none while they are being asked for. */
export function useDatasetList(): readonly DatasetSummary[] {
  return useDatasets().data?.datasets ?? [];
}
