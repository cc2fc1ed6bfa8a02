import { useFreeze, useSession } from "../../api/hooks";
import type { DatasetSummary, Version } from "../../api/types";
import { Button } from "../../ui/button";
import { CommandLine } from "../../ui/command-line";
import { Dialog } from "../../ui/dialog";
import { countOf, shortId } from "../../ui/format";
import { ErrorNotice, Notice } from "../../ui/notice";
import { Progress } from "../../ui/progress";
import { inWorkspace } from "../../ui/shell";
import styles from "./freeze-dialog.module.css";

type Props = { dataset: DatasetSummary; onTrain: () => void; onClose: () => void };

/** Says what freezing does, does it, and leads on to training. */
export function FreezeDialog({ dataset, onTrain, onClose }: Props) {
  const freeze = useFreeze(dataset.name);
  if (freeze.data) return <Frozen name={dataset.name} version={freeze.data} onTrain={onTrain} onClose={onClose} />;
  const { states, unfrozen_edits } = dataset;
  const nothing = unfrozen_edits === 0;
  return (
    <Dialog
      title="Freeze a version"
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>{nothing ? "Close" : "Cancel"}</Button>
          {!nothing && (
            <Button kind="primary" icon="freeze" busy={freeze.isPending} onClick={() => freeze.mutate()}>
              Freeze
            </Button>
          )}
        </>
      }
    >
      {nothing ? (
        <p>Nothing was edited since the present version, so there is nothing to freeze.</p>
      ) : (
        <>
          <p>
            The labels as they are now become a version that never changes: training, compiling and measuring use
            versions, so that their results can be repeated. Pictures are not copied, and you can go on labelling at
            once.
          </p>
          <ul className={styles.facts}>
            <li>{countOf(unfrozen_edits, "edit")} since the present version</li>
            <li>{countOf(states.labelled, "picture")} labelled by people, which count as truth</li>
            {states.proposed > 0 && (
              <li>{countOf(states.proposed, "picture")} with proposals of a model only, which do not</li>
            )}
            {states.unlabelled > 0 && (
              <li>{countOf(states.unlabelled, "picture")} that nobody looked at yet, which do not</li>
            )}
          </ul>
        </>
      )}
      {freeze.isPending && <Progress label="Freezing" value={null} />}
      {freeze.error && <ErrorNotice error={freeze.error} />}
    </Dialog>
  );
}

/** The version that was made, and what can be done with it. */
function Frozen({ name, version, onTrain, onClose }: Omit<Props, "dataset"> & { name: string; version: Version }) {
  const workspace = useSession().data?.workspace;
  const annotations = Object.values(version.annotation_counts).reduce((sum, count) => sum + count, 0);
  return (
    <Dialog
      wide
      title="Freeze a version"
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Done</Button>
          <Button kind="primary" icon="train" onClick={onTrain}>
            Train
          </Button>
        </>
      }
    >
      <Notice kind="good">
        Version <code>{shortId(version.id)}</code> holds {countOf(version.item_count, "picture")} and{" "}
        {countOf(annotations, "annotation")}.
      </Notice>
      <div className={styles.next}>
        <h3>In a terminal</h3>
        <CommandLine command={inWorkspace(`sightline show ${name}`, workspace)} />
        <CommandLine command={inWorkspace(`sightline export ${name} --format coco --out ${name}-coco`, workspace)} />
      </div>
    </Dialog>
  );
}
