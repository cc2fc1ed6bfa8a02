import { useState } from "react";
import { useMoveItems } from "../../api/hooks";
import type { DatasetSummary } from "../../api/types";
import { Button } from "../../ui/button";
import { Select } from "../../ui/field";
import { countOf, formatCount } from "../../ui/format";
import { ErrorNotice } from "../../ui/notice";
import { RemoveDialog } from "./remove-dialog";
import { type Selection, toPictures } from "./selection";
import styles from "./selection-bar.module.css";
import { listSplits, NO_SPLIT } from "./splits";

type Props = {
  dataset: DatasetSummary;
  selection: Selection;
  /** How many pictures the filter lets through. */
  total: number;
  isReading: boolean;
  onChooseAll: () => void;
  onClear: () => void;
};

/** How many pictures are chosen, and what can be done with them. */
export function SelectionBar({ dataset, selection, total, isReading, onChooseAll, onClear }: Props) {
  const [removing, setRemoving] = useState(false);
  const move = useMoveItems(dataset.name);
  const count = selection.chosen.size;
  const put = (split: string) =>
    move.mutate({ pictures: toPictures(selection), split: split === NO_SPLIT ? null : split }, { onSuccess: onClear });
  return (
    <section className={styles.bar} aria-label="Chosen pictures">
      <p className={styles.count} role="status">
        {countOf(count, "picture")} chosen
      </p>
      {count < total && (
        <Button kind="quiet" busy={isReading} onClick={onChooseAll}>
          Choose all {formatCount(total)}
        </Button>
      )}
      <Button kind="quiet" onClick={onClear}>
        Choose none
      </Button>
      <span className={styles.work}>
        <Select
          label="Set split"
          value=""
          disabled={move.isPending}
          aria-busy={move.isPending}
          onChange={(event) => put(event.target.value)}
        >
          <option value="" disabled>
            {move.isPending ? "Setting the split…" : "Set split"}
          </option>
          {listSplits(dataset.splits).map((split) => (
            <option key={split} value={split}>
              {split === NO_SPLIT ? "no split" : split}
            </option>
          ))}
        </Select>
        <Button kind="danger" icon="remove" disabled={move.isPending} onClick={() => setRemoving(true)}>
          Remove
        </Button>
      </span>
      {move.error && <ErrorNotice error={move.error} />}
      {removing && (
        <RemoveDialog
          dataset={dataset}
          pictures={toPictures(selection)}
          onRemoved={onClear}
          onClose={() => setRemoving(false)}
        />
      )}
    </section>
  );
}
