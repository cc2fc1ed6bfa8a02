import { useDatasets } from "../../api/hooks";
import type { DatasetSummary } from "../../api/types";
import { countOf, shortId } from "../../ui/format";
import { SelectField } from "../../ui/select-field";

type Props = {
  datasets: readonly DatasetSummary[];
  value: string;
  /** What stands above the datasets, with an empty value. */
  none?: string;
  onChange: (name: string) => void;
};

/** A choice of dataset, and which of its versions that means. */
export function DatasetField({ datasets, value, none, onChange }: Props) {
  const chosen = datasets.find(({ name }) => name === value);
  const hint = chosen
    ? chosen.unfrozen_edits > 0
      ? `${countOf(chosen.unfrozen_edits, "unfrozen edit")} become a new version first.`
      : `Version ${shortId(chosen.base_id)}, ${countOf(chosen.item_count, "picture")}.`
    : undefined;
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
