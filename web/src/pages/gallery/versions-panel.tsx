import { useState } from "react";
import { useVersions } from "../../api/hooks";
import { useMay } from "../../api/people";
import type { DatasetSummary, Version } from "../../api/types";
import { Button } from "../../ui/button";
import { ForRole } from "../../ui/for-role";
import { countOf, shortId } from "../../ui/format";
import { ErrorNotice, Notice } from "../../ui/notice";
import { Skeleton } from "../../ui/skeleton";
import { describeOrigin } from "./origins";
import { ReturnDialog } from "./return-dialog";
import styles from "./versions-panel.module.css";

/** Every frozen version of the dataset, the newest first; the one that edits go on from is marked. */
export function VersionsPanel({ dataset }: { dataset: DatasetSummary }) {
  const versions = useVersions(dataset.name);
  const advice = useMay("editor") ? "; freeze to train on them." : ".";
  return (
    <section className={styles.panel} aria-labelledby="versions-title">
      <h2 id="versions-title">Versions</h2>
      <p className={styles.note}>
        {dataset.unfrozen_edits > 0
          ? `${countOf(dataset.unfrozen_edits, "edit")} since the present version${advice}`
          : "Everything that was labelled is frozen."}
      </p>
      {versions.error && <ErrorNotice error={versions.error} />}
      <ol className={styles.list}>
        {versions.isPending && <Skeleton label="Loading versions" count={2} className={styles.placeholder ?? ""} />}
        {versions.data?.versions.toReversed().map((version) => (
          <Row key={version.id} version={version} dataset={dataset} />
        ))}
      </ol>
      {Object.entries(versions.data?.broken ?? {}).map(([folder, reason]) => (
        <Notice key={folder} kind="warning">
          Version <code>{shortId(folder)}</code> cannot be opened: {reason}
        </Notice>
      ))}
    </section>
  );
}

type RowProps = { version: Version; dataset: DatasetSummary };

function Row({ version, dataset }: RowProps) {
  const [returning, setReturning] = useState(false);
  const annotations = Object.values(version.annotation_counts).reduce((sum, count) => sum + count, 0);
  const isPresent = version.id === dataset.base_id;
  return (
    <li className={styles.version}>
      <p className={styles.id}>
        <code title={version.id}>{shortId(version.id)}</code>
        {isPresent ? (
          <span className={styles.present}>present</span>
        ) : (
          <ForRole least="editor">
            <Button kind="quiet" className={styles.return ?? ""} onClick={() => setReturning(true)}>
              Make present
            </Button>
          </ForRole>
        )}
      </p>
      <p className={styles.facts}>
        {[countOf(version.item_count, "picture"), countOf(annotations, "annotation")].join(", ")}
        {" · "}
        {describeOrigin(version)}
      </p>
      {returning && <ReturnDialog dataset={dataset} version={version} onClose={() => setReturning(false)} />}
    </li>
  );
}
