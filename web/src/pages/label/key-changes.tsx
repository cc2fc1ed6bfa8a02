import { type KeyboardEvent, useState } from "react";
import { chordsOf } from "../../editor/chords";
import type { Editor } from "../../editor/editor";
import { ACTIONS, type ActionName, DEFAULT_BINDINGS, type KeyBindings, rebind } from "../../editor/keys";
import { Button } from "../../ui/button";
import { splitChord } from "./key-names";
import styles from "./key-panel.module.css";
import { saveKeys } from "./own-keys";

const ALL = Object.keys(ACTIONS) as ActionName[];

/** Every action with a button that takes another key for it; no key means two things. */
export function KeyChanges({ editor }: { editor: Editor }) {
  const [bindings, setBindings] = useState(editor.getBindings());
  const [asked, setAsked] = useState<ActionName | null>(null);
  const [words, setWords] = useState("Choose a row, then press its new key. Escape leaves it as it is.");
  const change = (changed: KeyBindings) => {
    saveKeys(editor, changed);
    setBindings(changed);
  };
  const take = (event: KeyboardEvent, action: ActionName) => {
    const [chord] = chordsOf(event.nativeEvent);
    if (asked !== action || chord === undefined) return;
    event.preventDefault();
    setAsked(null);
    if (chord === "Escape") return;
    const bound = rebind(bindings, action, [chord]);
    if (bound.kind === "bound") change(bound.bindings);
    setWords(describe(bound, action, chord));
  };
  return (
    <>
      <p className={styles.words} role="status">
        {words}
      </p>
      <ul className={styles.changes}>
        {ALL.map((action) => (
          <li key={action} className={styles.row}>
            <span>{ACTIONS[action].label}</span>
            <Button
              aria-label={`Change the key of: ${ACTIONS[action].label}`}
              onClick={() => setAsked(action)}
              onBlur={() => setAsked(null)}
              onKeyDown={(event) => take(event, action)}
            >
              {asked === action ? "Press a key" : nameKeys(bindings[action])}
            </Button>
          </li>
        ))}
      </ul>
      <Button
        onClick={() => {
          change(DEFAULT_BINDINGS);
          setWords("All keys are what they were at first.");
        }}
      >
        Reset all keys
      </Button>
    </>
  );
}

function nameKeys(chords: readonly string[]): string {
  return chords.map((chord) => splitChord(chord).join(" ")).join(", ") || "none";
}

function describe(bound: ReturnType<typeof rebind>, action: ActionName, chord: string): string {
  const [name, label] = [nameKeys([chord]), ACTIONS[action].label];
  if (bound.kind === "bound") return `${name}: ${label}.`;
  if (bound.kind === "impossible") return `${name} moves the picture while it is held. Press another key.`;
  return `${name} is already: ${ACTIONS[bound.owner].label}. Press another key, or change that one first.`;
}
