/** Keys as people read them. */
import type { Editor } from "../../editor/editor";
import type { ActionName } from "../../editor/keys";

const NAMES: Readonly<Record<string, string>> = {
  ArrowLeft: "←",
  ArrowRight: "→",
  ArrowUp: "↑",
  ArrowDown: "↓",
  Escape: "Esc",
  Delete: "Del",
};

/** "Ctrl+Shift+Z" as its parts: "Ctrl", "Shift", "Z". The plus sign alone is a key, too. */
export function splitChord(chord: string): readonly string[] {
  const parts = chord.split("+").filter((part) => part !== "");
  return (chord.endsWith("+") ? [...parts, "+"] : parts).map((part) => NAMES[part] ?? part);
}

/** The first key of an action, for hints on buttons; "" where it has none. */
export function keyOf(editor: Editor, action: ActionName): string {
  const [chord] = editor.getBindings()[action];
  return chord ? splitChord(chord).join("+") : "";
}
