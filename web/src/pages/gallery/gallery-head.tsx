import { useState } from "react";
import { Link } from "react-router";
import { labelPath } from "../../api/addresses";
import { type ItemFilter, useFirstItems } from "../../api/hooks";
import { useMay } from "../../api/people";
import type { DatasetSummary } from "../../api/types";
import { Button, buttonClass } from "../../ui/button";
import { ForRole } from "../../ui/for-role";
import { countOf } from "../../ui/format";
import { Notice } from "../../ui/notice";
import { PageHead } from "../../ui/page";
import { StateBar } from "../../ui/state-bar";
import { TrainDialog } from "../train/train-dialog";
import { isFiltering, writeFilter } from "./filter";
import { FreezeDialog } from "./freeze-dialog";
import styles from "./gallery-head.module.css";

type Props = { dataset: DatasetSummary; filter: ItemFilter; onAdd: () => void };

/** The dataset's name and state, the way into the editor, more pictures, and the freezing of what was labelled. */
export function GalleryHead({ dataset, filter, onAdd }: Props) {
  const [open, setOpen] = useState<"freeze" | "train" | null>(null);
  const mayEdit = useMay("editor");
  const { name, states, unfrozen_edits, newer_version } = dataset;
  const wanted = chooseWork(filter, states);
  const [first] = useFirstItems(name, wanted, 1).data ?? [];
  const annotations = Object.values(dataset.annotation_counts).reduce((sum, count) => sum + count, 0);
  return (
    <div className={styles.top}>
      <PageHead
        title={name}
        note={`${countOf(dataset.item_count, "picture")} · ${countOf(annotations, "annotation")}`}
        actions={
          <>
            <ForRole least="editor">
              <Button icon="add" onClick={onAdd}>
                Add pictures
              </Button>
              <Button icon="train" onClick={() => setOpen("train")}>
                Train
              </Button>
              <Button icon="freeze" onClick={() => setOpen("freeze")}>
                Freeze version
              </Button>
            </ForRole>
            {first && (
              <Link
                className={buttonClass("primary")}
                to={labelPath(name, first.position, writeFilter(wanted).toString())}
              >
                {nameWork(mayEdit, filter, states)}
              </Link>
            )}
          </>
        }
      />
      <StateBar counts={states} legend />
      {newer_version && unfrozen_edits > 0 && (
        <Notice kind="warning">
          Somebody made a newer version of this dataset while {countOf(unfrozen_edits, "edit")} waited here to be
          frozen. Nothing is lost: freezing keeps both versions.
        </Notice>
      )}
      {open === "train" && <TrainDialog dataset={dataset} onClose={() => setOpen(null)} />}
      {open === "freeze" && (
        <FreezeDialog dataset={dataset} onTrain={() => setOpen("train")} onClose={() => setOpen(null)} />
      )}
    </div>
  );
}

function nameWork(mayEdit: boolean, filter: ItemFilter, states: DatasetSummary["states"]): string {
  if (!mayEdit) return "Look at the pictures";
  if (isFiltering(filter)) return "Label these pictures";
  return states.labelled > 0 ? "Continue labelling" : "Start labelling";
}

/** What the button opens: what the filter shows; without a filter, what nobody has labelled yet. */
function chooseWork(filter: ItemFilter, states: DatasetSummary["states"]): ItemFilter {
  if (isFiltering(filter)) return filter;
  if (states.unlabelled > 0) return { state: "unlabelled" };
  return states.proposed > 0 ? { state: "proposed" } : {};
}
