import { useId, useMemo, useState } from "react";
import type { Editor } from "../../editor/editor";
import type { Category } from "../../labels/annotation";
import { geometryOf } from "../../labels/shapes";
import { Icon } from "../../ui/icon";
import styles from "./category-list.module.css";
import { useSnapshot } from "./use-editor";

/** From so many categories on, a field finds one by its name. */
const MANY = 12;

type Props = {
  editor: Editor;
  /** Categories are labels of the whole picture: a click says what it shows. */
  labelsPicture: boolean;
  onLabelsPicture: (on: boolean) => void;
  onChoose: (name: string, withOthers: boolean) => void;
};

/** What new labels are called; with the keys 1 to 9. */
export function CategoryList({ editor, labelsPicture, onLabelsPicture, onChoose }: Props) {
  const categories = useSnapshot(editor, (snapshot) => snapshot.categories);
  const chosen = useSnapshot(editor, (snapshot) => snapshot.category);
  const labels = useSnapshot(editor, (snapshot) => snapshot.document.labels);
  const [typed, setTyped] = useState("");
  const { counts, ofPicture } = useMemo(() => countCategories(labels), [labels]);
  const wanted = typed.trim().toLowerCase();
  return (
    <section className={styles.panel} aria-label="Categories">
      <ModeSwitch labelsPicture={labelsPicture} onLabelsPicture={onLabelsPicture} />
      {categories.length >= MANY && (
        <input
          type="search"
          className={styles.search}
          placeholder="Find a category"
          aria-label="Find a category"
          value={typed}
          onChange={(event) => setTyped(event.target.value)}
        />
      )}
      {categories.length === 0 && (
        <p className={styles.none}>No category yet: add the first one on the page of the dataset.</p>
      )}
      <ul className={styles.list}>
        {categories.map((category, place) =>
          category.name.toLowerCase().includes(wanted) ? (
            <CategoryRow
              key={category.id}
              category={category}
              place={place}
              isChosen={labelsPicture ? ofPicture.has(category.name) : category.name === chosen}
              count={labelsPicture ? null : (counts.get(category.name) ?? 0)}
              onChoose={onChoose}
            />
          ) : null,
        )}
      </ul>
      {labelsPicture && <p className={styles.hint}>Hold Shift to give a picture several.</p>}
    </section>
  );
}

type RowProps = {
  category: Category;
  place: number;
  isChosen: boolean;
  /** How many labels of the picture have it; null where it labels the picture itself. */
  count: number | null;
  onChoose: Props["onChoose"];
};

function CategoryRow({ category: { name, colour }, place, isChosen, count, onChoose }: RowProps) {
  return (
    <li>
      <button
        type="button"
        className={styles.row}
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

function ModeSwitch({ labelsPicture, onLabelsPicture }: Pick<Props, "labelsPicture" | "onLabelsPicture">) {
  const name = useId();
  return (
    <fieldset className={styles.modes}>
      <legend className="visually-hidden">What categories label</legend>
      {[
        { words: "Objects", on: false },
        { words: "Whole picture", on: true },
      ].map(({ words, on }) => (
        <label key={words} className={styles.mode}>
          <input type="radio" name={name} checked={labelsPicture === on} onChange={() => onLabelsPicture(on)} />
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
