import { type RefObject, useId, useMemo, useState } from "react";
import type { Editor } from "../../editor/editor";
import type { Category } from "../../labels/annotation";
import { geometryOf } from "../../labels/shapes";
import { ForRole } from "../../ui/for-role";
import { Icon } from "../../ui/icon";
import { CategoryField } from "./category-field";
import styles from "./category-list.module.css";
import { findCategories } from "./find-categories";
import { useSnapshot } from "./use-editor";
import type { PictureMode } from "./use-picture-mode";

type Props = {
  editor: Editor;
  dataset: string;
  mode: PictureMode;
  field: RefObject<HTMLInputElement | null>;
};

/** What new labels are called, or what the whole picture shows; with the keys 1 to 9. */
export function CategoryList({ editor, dataset, mode, field }: Props) {
  const categories = useSnapshot(editor, (snapshot) => snapshot.categories);
  const chosen = useSnapshot(editor, (snapshot) => snapshot.category);
  const labels = useSnapshot(editor, (snapshot) => snapshot.document.labels);
  const [typed, setTyped] = useState("");
  const { counts, ofPicture } = useMemo(() => countCategories(labels), [labels]);
  const found = useMemo(() => findCategories(categories, typed), [categories, typed]);
  const { labelsPicture } = mode;
  return (
    <section className={styles.panel} aria-label="Categories">
      <ForRole least="editor">
        <ModeSwitch mode={mode} />
        <CategoryField
          editor={editor}
          dataset={dataset}
          field={field}
          typed={typed}
          onType={setTyped}
          found={found}
          onChoose={mode.choose}
        />
      </ForRole>
      {categories.length === 0 && <p className={styles.none}>No category yet: what shall people label?</p>}
      <ul className={styles.list}>
        {found.rows.map(({ category, place }) => (
          <CategoryRow
            key={category.id}
            category={category}
            place={place}
            isBest={category === found.best}
            isChosen={labelsPicture ? ofPicture.has(category.name) : category.name === chosen}
            count={labelsPicture ? null : (counts.get(category.name) ?? 0)}
            onChoose={mode.choose}
          />
        ))}
      </ul>
      {labelsPicture && (
        <label className={styles.several}>
          <input
            type="checkbox"
            checked={mode.takesSeveral}
            onChange={(event) => mode.setTakesSeveral(event.target.checked)}
          />
          A picture may have several
        </label>
      )}
    </section>
  );
}

type RowProps = {
  category: Category;
  place: number;
  /** Enter in the field means it. */
  isBest: boolean;
  isChosen: boolean;
  /** How many labels of the picture have it; null where it labels the picture itself. */
  count: number | null;
  onChoose: PictureMode["choose"];
};

function CategoryRow({ category: { name, colour }, place, isBest, isChosen, count, onChoose }: RowProps) {
  return (
    <li>
      <button
        type="button"
        className={`${styles.row} ${isBest ? styles.best : ""}`}
        aria-pressed={isChosen}
        onClick={(event) => onChoose(name, event.shiftKey || event.ctrlKey || event.metaKey)}
      >
        <kbd className={styles.key}>{place < 9 ? place + 1 : ""}</kbd>
        <span className={styles.swatch} style={{ background: colour }} aria-hidden="true" />
        <span className={styles.name} title={name}>
          {name}
        </span>
        {count === null ? (
          <span className={styles.mark}>{isChosen && <Icon name="check" />}</span>
        ) : (
          <span className={styles.count}>{count || ""}</span>
        )}
      </button>
    </li>
  );
}

function ModeSwitch({ mode: { labelsPicture, setLabelsPicture } }: { mode: PictureMode }) {
  const name = useId();
  return (
    <fieldset className={styles.modes}>
      <legend className="visually-hidden">What categories label</legend>
      {[
        { words: "Objects", on: false },
        { words: "Whole picture", on: true },
      ].map(({ words, on }) => (
        <label key={words} className={styles.mode}>
          <input type="radio" name={name} checked={labelsPicture === on} onChange={() => setLabelsPicture(on)} />
          <span>{words}</span>
        </label>
      ))}
    </fieldset>
  );
}

function countCategories(labels: readonly { readonly annotation: Parameters<typeof geometryOf>[0] }[]) {
  const counts = new Map<string, number>();
  const ofPicture = new Set<string>();
  for (const { annotation } of labels) {
    if (geometryOf(annotation) === "image") ofPicture.add(annotation.category);
    else counts.set(annotation.category, (counts.get(annotation.category) ?? 0) + 1);
  }
  return { counts, ofPicture };
}
