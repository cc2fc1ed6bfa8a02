import { Link } from "react-router";
import { datasetPath, thumbnailUrl } from "../../api/addresses";
import { useFirstItems } from "../../api/hooks";
import type { DatasetSummary } from "../../api/types";
import { countOf } from "../../ui/format";
import { StateBar } from "../../ui/state-bar";
import styles from "./dataset-card.module.css";

const SHOWN = 6;
const COVER = 4;

/** One dataset: what it holds, how far it is labelled, and the way into it. The whole card is its link. */
export function DatasetCard({ dataset }: { dataset: DatasetSummary }) {
  const { name, item_count, states, categories, annotation_counts, unfrozen_edits } = dataset;
  const annotations = Object.values(annotation_counts).reduce((sum, count) => sum + count, 0);
  return (
    <li className={styles.card}>
      <Cover dataset={name} />
      <div>
        <h2 className={styles.name} title={name}>
          <Link to={datasetPath(name)}>{name}</Link>
        </h2>
        <p className={styles.counts}>
          {countOf(item_count, "picture")} · {countOf(annotations, "annotation")}
        </p>
      </div>
      <StateBar counts={states} legend />
      <Categories dataset={categories} />
      <p className={styles.foot}>
        {dataset.newer_version
          ? "A newer version was made elsewhere"
          : unfrozen_edits > 0
            ? `${countOf(unfrozen_edits, "edit")} since the last version`
            : "No edits since the last version"}
      </p>
    </li>
  );
}

/** The first pictures, so that people know the dataset again. */
function Cover({ dataset }: { dataset: string }) {
  const items = useFirstItems(dataset, {}, COVER);
  return (
    <div className={styles.cover} aria-hidden="true">
      {items.data?.map((item) => (
        <img key={item.position} src={thumbnailUrl(dataset, item)} alt="" loading="lazy" decoding="async" />
      ))}
    </div>
  );
}

function Categories({ dataset: categories }: { dataset: DatasetSummary["categories"] }) {
  if (categories.length === 0) return <p className={styles.none}>No categories yet</p>;
  return (
    <ul className={styles.categories} aria-label="Categories">
      {categories.slice(0, SHOWN).map(({ id, name, colour }) => (
        <li key={id} title={name}>
          <span className={styles.swatch} style={{ background: colour }} aria-hidden="true" />
          <span className={styles.category}>{name}</span>
        </li>
      ))}
      {categories.length > SHOWN && <li className={styles.none}>and {categories.length - SHOWN} more</li>}
    </ul>
  );
}
