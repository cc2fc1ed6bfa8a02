import { type FormEvent, useState } from "react";
import { useAddCategory } from "../../api/hooks";
import type { DatasetSummary } from "../../api/types";
import { Button } from "../../ui/button";
import { ForRole } from "../../ui/for-role";
import { ErrorNotice } from "../../ui/notice";
import styles from "./categories-panel.module.css";
import { CategoryRow } from "./category-row";

/** What pictures of the dataset are labelled with: add, rename, remove. */
export function CategoriesPanel({ dataset }: { dataset: DatasetSummary }) {
  const [typed, setTyped] = useState("");
  const add = useAddCategory(dataset.name);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const name = typed.trim();
    if (name) add.mutate(name, { onSuccess: () => setTyped("") });
  };
  return (
    <section className={styles.panel} aria-labelledby="categories-title">
      <h2 id="categories-title">Categories</h2>
      {dataset.categories.length === 0 && <p className={styles.none}>Add the first one: what shall people label?</p>}
      <ul className={styles.list}>
        {dataset.categories.map((category) => (
          <CategoryRow
            key={category.id}
            dataset={dataset.name}
            category={category}
            count={dataset.annotation_counts[category.name] ?? 0}
          />
        ))}
      </ul>
      {add.error && <ErrorNotice error={add.error} />}
      <ForRole least="editor">
        <form className={styles.add} onSubmit={submit}>
          <input
            className={styles.input}
            aria-label="Name of a new category"
            placeholder="New category"
            value={typed}
            maxLength={200}
            onChange={(event) => setTyped(event.target.value)}
          />
          <Button type="submit" disabled={!typed.trim()} busy={add.isPending}>
            Add
          </Button>
        </form>
      </ForRole>
    </section>
  );
}
