import type { KeyboardEvent, RefObject } from "react";
import { useAddCategory } from "../../api/hooks";
import type { Editor } from "../../editor/editor";
import { Button } from "../../ui/button";
import { ErrorNotice } from "../../ui/notice";
import styles from "./category-list.module.css";
import type { Found } from "./find-categories";
import { keyOf } from "./key-names";

type Props = {
  editor: Editor;
  dataset: string;
  field: RefObject<HTMLInputElement | null>;
  typed: string;
  onType: (typed: string) => void;
  found: Found;
  onChoose: (name: string, withOthers: boolean) => void;
};

/** Finds a category by its name, or adds one: Enter takes what fits best, and adds a name that nothing fits. */
export function CategoryField({ editor, dataset, field, typed, onType, found, onChoose }: Props) {
  const adding = useAddCategory(dataset);
  const leave = () => {
    onType("");
    // The keys are the editor's again.
    field.current?.blur();
  };
  const add = (name: string) =>
    adding.mutate(name, {
      onSuccess: ({ categories }) => {
        editor.setCategories(categories);
        onChoose(name, false);
        leave();
      },
    });
  const press = (event: KeyboardEvent) => {
    if (event.key === "Escape") leave();
    if (event.key !== "Enter" || adding.isPending) return;
    if (found.best) {
      onChoose(found.best.name, event.shiftKey);
      leave();
    } else if (found.addable) {
      add(found.addable);
    }
  };
  return (
    <>
      <input
        ref={field}
        type="search"
        className={styles.search}
        placeholder={`Find or add a category (${keyOf(editor, "findCategory")})`}
        aria-label="Find or add a category"
        value={typed}
        maxLength={200}
        onChange={(event) => onType(event.target.value)}
        onKeyDown={press}
      />
      {found.addable && (
        <Button
          kind={found.best ? "plain" : "primary"}
          className={styles.add ?? ""}
          icon="add"
          busy={adding.isPending}
          onClick={() => found.addable && add(found.addable)}
        >
          <span className={styles.name}>Add “{found.addable}”</span>
        </Button>
      )}
      {adding.error && <ErrorNotice error={adding.error} />}
    </>
  );
}
