import { useState } from "react";
import type { Editor } from "../../editor/editor";
import { ACTIONS, type ActionName, type KeyGroup } from "../../editor/keys";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { KeyChanges } from "./key-changes";
import { splitChord } from "./key-names";
import styles from "./key-panel.module.css";

type Row = { readonly label: string; readonly chords: readonly string[] };

/** What hands do, which no table of keys holds. */
const POINTER: readonly Row[] = [
  { label: "Zoom where it points", chords: ["Wheel"] },
  { label: "Larger or smaller brush; wand: take more or less", chords: ["Shift + wheel"] },
  { label: "Smart mask, wand: take away", chords: ["Alt + drag", "Right button"] },
  { label: "Move the picture", chords: ["Space + drag", "Middle button"] },
  { label: "Move and zoom", chords: ["Two fingers"] },
  { label: "Drop the last point of a polygon", chords: ["Right button"] },
  { label: "Draw a polygon freehand", chords: ["Shift + drag"] },
  { label: "Add a point to an outline", chords: ["Double click", "Alt + drag"] },
  { label: "Select what lies below", chords: ["Click again"] },
  { label: "Select all within", chords: ["Drag", "Ctrl + drag"] },
];

/** All keys, as they are bound now, and a way to change them. */
export function KeyPanel({ editor, onClose }: { editor: Editor; onClose: () => void }) {
  const [isChanging, setIsChanging] = useState(false);
  const turn = (
    <Button onClick={() => setIsChanging(!isChanging)}>{isChanging ? "Show all keys" : "Change keys"}</Button>
  );
  return (
    <Dialog title="Keys" onClose={onClose} wide actions={turn}>
      {isChanging ? (
        <KeyChanges editor={editor} />
      ) : (
        <div className={styles.groups}>
          {[...groupActions(editor)].map(([group, rows]) => (
            <KeyTable key={group} title={group} rows={rows} />
          ))}
          <KeyTable title="Pointer" rows={POINTER} />
        </div>
      )}
    </Dialog>
  );
}

function KeyTable({ title, rows }: { title: string; rows: readonly Row[] }) {
  return (
    <section className={styles.group}>
      <h3>{title}</h3>
      <dl>
        {rows.map(({ label, chords }) => (
          <div key={label} className={styles.row}>
            <dt>{label}</dt>
            <dd>
              {chords.map((chord) => (
                <kbd key={chord} className={styles.chord}>
                  {title === "Pointer" ? chord : splitChord(chord).join(" ")}
                </kbd>
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

/** Actions of one kind that stand in one row; the others would be hard to find among so many that say nearly the same. */
const SERIES: readonly { readonly names: RegExp; readonly label: string; readonly chords?: readonly string[] }[] = [
  { names: /^category[1-9]$/, label: "Choose a category; also for what is selected", chords: ["1 … 9"] },
  { names: /^(left|right|up|down)$/, label: "Move by a pixel; ← → with nothing selected: other picture" },
  { names: /^far(Left|Right|Up|Down)$/, label: "Move by 10 pixels", chords: ["Shift ← ↑ → ↓"] },
];

function groupActions(editor: Editor): ReadonlyMap<KeyGroup, readonly Row[]> {
  const bindings = editor.getBindings();
  const groups = new Map<KeyGroup, Map<string, readonly string[]>>();
  for (const [name, { label, group }] of Object.entries(ACTIONS)) {
    const rows = groups.get(group) ?? new Map<string, readonly string[]>();
    groups.set(group, rows);
    const series = SERIES.find(({ names }) => names.test(name));
    const row = series?.label ?? label;
    rows.set(row, series?.chords ?? [...(rows.get(row) ?? []), ...bindings[name as ActionName]]);
  }
  return new Map([...groups].map(([group, rows]) => [group, [...rows].map(([label, chords]) => ({ label, chords }))]));
}
