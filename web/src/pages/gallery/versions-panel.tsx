import { useVersions } from "../../api/hooks";
import type { DatasetSummary, Version } from "../../api/types";
import { countOf, shortId } from "../../ui/format";
import { ErrorNotice, Notice } from "../../ui/notice";
import { Skeleton } from "../../ui/skeleton";
import styles from "./versions-panel.module.css";

/** How versions came to be that were not imported from files of a format. */
const ORIGINS: Readonly<Record<string, string>> = {
  label: "labelled here",
  annotate: "proposed by a model",
  items: "made by a program",
  samples: "generated",
};

/** Every frozen version of the dataset, the newest first; the one that edits go on from is marked. */
export function VersionsPanel({ dataset }: { dataset: DatasetSummary }) {
  const versions = useVersions(dataset.name);
  return (
    <section className={styles.panel} aria-labelledby="versions-title">
      <h2 id="versions-title">Versions</h2>
      <p className={styles.note}>
        {dataset.unfrozen_edits > 0
          ? `${countOf(dataset.unfrozen_edits, "edit")} since the present version; freeze to train on them.`
          : "Everything that was labelled is frozen."}
      </p>
      {versions.error && <ErrorNotice error={versions.error} />}
      <ol className={styles.list}>
        {versions.isPending && <Skeleton label="Loading versions" count={2} className={styles.placeholder ?? ""} />}
        {versions.data?.versions.toReversed().map((version) => (
          <Row key={version.id} version={version} isPresent={version.id === dataset.base_id} />
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

function Row({ version, isPresent }: { version: Version; isPresent: boolean }) {
  const annotations = Object.values(version.annotation_counts).reduce((sum, count) => sum + count, 0);
  return (
    <li className={styles.version}>
      <p className={styles.id}>
        <code title={version.id}>{shortId(version.id)}</code>
        {isPresent && <span className={styles.present}>present</span>}
      </p>
      <p className={styles.facts}>
        {countOf(version.item_count, "picture")}, {countOf(annotations, "annotation")}
        {version.made_by && ` · ${ORIGINS[version.made_by] ?? `imported (${version.made_by})`}`}
      </p>
    </li>
  );
}
