import { type FormEvent, type KeyboardEvent, useState } from "react";
import { useMay } from "../../api/people";
import type { Editor } from "../../editor/editor";
import type { Attributes } from "../../labels/annotation";
import { attributesOf, findValue, LONGEST_KEY, LONGEST_VALUE, listAttributes } from "../../labels/attributes";
import { Button } from "../../ui/button";
import { Icon } from "../../ui/icon";
import styles from "./attribute-list.module.css";
import { useSnapshot } from "./use-editor";

/** Facts of the whole picture, text to text. A change is an edit as any other: it waits, is undone and has a history. */
export function AttributeList({ editor }: { editor: Editor }) {
  const picture = useSnapshot(editor, (snapshot) => snapshot.picture);
  const attributes = useSnapshot(editor, (snapshot) => attributesOf(snapshot.document));
  const mayEdit = useMay("editor");
  if (!picture) return null;
  const rows = listAttributes(attributes);
  return (
    <div className={styles.scroller}>
      {rows.length === 0 && <p className={styles.none}>Nothing is noted of this picture as a whole.</p>}
      <ul className={styles.list} aria-label="Attributes of this picture">
        {rows.map(([key, value]) => (
          <li key={`${picture.blob} ${key}`} className={styles.row}>
            <span className={styles.key}>{key}</span>
            {mayEdit ? (
              <>
                <ValueField
                  key={value}
                  name={key}
                  value={value}
                  onChange={(typed) => editor.setAttribute(key, typed)}
                />
                <button
                  type="button"
                  className={styles.remove}
                  aria-label={`Remove ${key}`}
                  title={`Remove ${key}`}
                  onClick={() => editor.setAttribute(key, null)}
                >
                  <Icon name="close" size={14} />
                </button>
              </>
            ) : (
              <span className={styles.value}>{value}</span>
            )}
          </li>
        ))}
      </ul>
      {mayEdit && (
        <NewAttribute
          key={picture.blob}
          attributes={attributes}
          onAdd={(key, value) => editor.setAttribute(key, value)}
        />
      )}
    </div>
  );
}

type ValueProps = { name: string; value: string; onChange: (typed: string) => void };

/** A value that is changed where it stands: Enter or leaving keeps what was typed, Escape what was there. */
function ValueField({ name, value, onChange }: ValueProps) {
  const press = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    const field = event.currentTarget;
    if (event.key === "Escape") field.value = value;
    if (event.key !== "Escape" && (event.key !== "Enter" || event.shiftKey)) return;
    event.preventDefault();
    field.blur();
  };
  return (
    <textarea
      className={styles.field}
      aria-label={`Value of ${name}`}
      rows={Math.min(6, shownAs(value).split("\n").length)}
      maxLength={LONGEST_VALUE}
      defaultValue={value}
      spellCheck={false}
      onKeyDown={press}
      onBlur={({ currentTarget }) => {
        if (currentTarget.value !== shownAs(value)) onChange(currentTarget.value);
      }}
    />
  );
}

/** A text as a field of a page has it: every end of a line is one character there. */
function shownAs(value: string): string {
  return value.replace(/\r\n?/g, "\n");
}

type NewProps = { attributes: Attributes; onAdd: (key: string, value: string) => void };

function NewAttribute({ attributes, onAdd }: NewProps) {
  const [typed, setTyped] = useState({ key: "", value: "" });
  const key = typed.key.trim();
  const isThere = findValue(attributes, key) !== null;
  const add = (event: FormEvent) => {
    event.preventDefault();
    if (key === "" || isThere) return;
    onAdd(key, typed.value);
    setTyped({ key: "", value: "" });
  };
  return (
    <form className={styles.form} onSubmit={add} aria-label="New attribute">
      <input
        className={styles.field}
        aria-label="Name of a new attribute"
        placeholder="Name"
        maxLength={LONGEST_KEY}
        spellCheck={false}
        autoComplete="off"
        value={typed.key}
        onChange={(event) => setTyped({ ...typed, key: event.target.value })}
      />
      <input
        className={styles.field}
        aria-label="Value of a new attribute"
        placeholder="Value"
        maxLength={LONGEST_VALUE}
        spellCheck={false}
        autoComplete="off"
        value={typed.value}
        onChange={(event) => setTyped({ ...typed, value: event.target.value })}
      />
      <Button type="submit" icon="add" disabled={key === "" || isThere}>
        Add
      </Button>
      {isThere && (
        <p className={styles.told} role="alert">
          This picture has “{key}” already: change its value above.
        </p>
      )}
    </form>
  );
}
