import { useEffect, useState } from "react";
import type { ItemFilter } from "../../api/hooks";
import type { DatasetSummary, Video } from "../../api/types";
import { SearchField, Select } from "../../ui/field";
import { countOf, formatCount } from "../../ui/format";
import { StateMark } from "../../ui/state-bar";
import { STATES } from "./filter";
import styles from "./filters.module.css";

type Props = {
  filter: ItemFilter;
  dataset: DatasetSummary | undefined;
  videos: readonly Video[];
  /** How many pictures the filter lets through, or null while that is not known. */
  total: number | null;
  onChange: (filter: ItemFilter) => void;
};

const TYPING_MS = 250;

/** Which pictures are shown. */
export function Filters({ filter, dataset, videos, total, onChange }: Props) {
  const counts = dataset?.states;
  return (
    <search className={styles.filters}>
      <fieldset className={styles.states}>
        <legend className="visually-hidden">State</legend>
        <StateChoice name="all" checked={!filter.state} onChoose={() => onChange({ ...filter, state: undefined })} />
        {STATES.map((state) => (
          <StateChoice
            key={state}
            name={state}
            count={counts?.[state]}
            checked={filter.state === state}
            onChoose={() => onChange({ ...filter, state })}
          />
        ))}
      </fieldset>
      <Select
        label="Category"
        value={filter.category ?? ""}
        onChange={(event) => onChange({ ...filter, category: event.target.value })}
      >
        <option value="">Every category</option>
        {dataset?.categories.map(({ id, name }) => (
          <option key={id} value={name}>
            {name}
          </option>
        ))}
      </Select>
      <Select
        label="Split"
        value={filter.split ?? ""}
        onChange={(event) => onChange({ ...filter, split: event.target.value })}
      >
        <option value="">Every split</option>
        {Object.entries(dataset?.splits ?? {}).map(([split, count]) => (
          <option key={split} value={split}>
            {split} ({formatCount(count)})
          </option>
        ))}
      </Select>
      {(videos.length > 1 || filter.video) && (
        <Select
          label="Video"
          value={filter.video ?? ""}
          onChange={(event) => onChange({ ...filter, video: event.target.value })}
        >
          <option value="">Every video</option>
          {videos.map(({ name, frame_count }) => (
            <option key={name} value={name}>
              {name} ({formatCount(frame_count)})
            </option>
          ))}
        </Select>
      )}
      <Search value={filter.search ?? ""} onChange={(search) => onChange({ ...filter, search })} />
      <p className={styles.total} role="status">
        {total === null ? "" : countOf(total, "picture")}
      </p>
    </search>
  );
}

type StateChoiceProps = {
  name: "all" | (typeof STATES)[number];
  count?: number | undefined;
  checked: boolean;
  onChoose: () => void;
};

function StateChoice({ name, count, checked, onChoose }: StateChoiceProps) {
  return (
    <label className={styles.state} title={count === undefined ? undefined : countOf(count, "picture")}>
      <input type="radio" name="state" value={name} checked={checked} onChange={onChoose} />
      {name !== "all" && <StateMark state={name} />}
      {name[0]?.toUpperCase()}
      {name.slice(1)}
    </label>
  );
}

/** The file name's field; the list follows once the typing rests. */
function Search({ value, onChange }: { value: string; onChange: (search: string) => void }) {
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  useEffect(() => {
    if (typed === value) return;
    const timer = setTimeout(() => onChange(typed), TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed, value, onChange]);
  return (
    <SearchField
      className={styles.search ?? ""}
      label="File name"
      value={typed}
      spellCheck={false}
      onChange={(event) => setTyped(event.target.value)}
    />
  );
}
