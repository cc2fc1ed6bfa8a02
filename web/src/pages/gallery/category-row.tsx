import { type FormEvent, useState } from "react";
import { useRemoveCategory, useRenameCategory } from "../../api/hooks";
import type { Category } from "../../api/types";
import { Button, IconButton } from "../../ui/button";
import { ForRole } from "../../ui/for-role";
import { countOf, formatCount } from "../../ui/format";
import { ErrorNotice } from "../../ui/notice";
import styles from "./categories-panel.module.css";

type Props = { dataset: string; category: Category; count: number };

/** One category with its colour and its count; it becomes a field while it is renamed. */
export function CategoryRow({ dataset, category, count }: Props) {
  const [typed, setTyped] = useState<string | null>(null);
  const rename = useRenameCategory(dataset);
  const remove = useRemoveCategory(dataset);
  const error = rename.error ?? remove.error;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const to = typed?.trim();
    if (!to || to === category.name) setTyped(null);
    else rename.mutate({ id: category.id, to }, { onSuccess: () => setTyped(null) });
  };
  return (
    <li className={styles.item}>
      {typed === null ? (
        <div className={styles.row}>
          <span className={styles.swatch} style={{ background: category.colour }} aria-hidden="true" />
          <span className={styles.name} title={category.name}>
            {category.name}
          </span>
          <span className={styles.count} title={countOf(count, "annotation")}>
            {formatCount(count)}
          </span>
          <ForRole least="editor">
            <span className={styles.tools}>
              <IconButton icon="edit" label={`Rename ${category.name}`} onClick={() => setTyped(category.name)} />
              <IconButton
                icon="remove"
                label={`Remove ${category.name}`}
                disabled={remove.isPending}
                onClick={() => remove.mutate(category.id)}
              />
            </span>
          </ForRole>
        </div>
      ) : (
        <form className={styles.add} onSubmit={submit}>
          <input
            className={styles.input}
            aria-label={`New name of ${category.name}`}
            value={typed}
            maxLength={200}
            // biome-ignore lint/a11y/noAutofocus: the field stands where the button was that was just pressed
            autoFocus
            onFocus={(event) => event.target.select()}
            onChange={(event) => setTyped(event.target.value)}
            onKeyDown={(event) => event.key === "Escape" && setTyped(null)}
          />
          <Button type="submit" busy={rename.isPending}>
            Rename
          </Button>
        </form>
      )}
      {error && <ErrorNotice error={error} />}
    </li>
  );
}
