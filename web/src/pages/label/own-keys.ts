/** The keys that this browser's user chose, kept for every dataset. */
import type { Editor } from "../../editor/editor";
import { type KeyBindings, readBindings, writeBindings } from "../../editor/keys";

const STORED = "sightline.keys";

export function loadKeys(): KeyBindings {
  return readBindings(localStorage.getItem(STORED));
}

export function saveKeys(editor: Editor, bindings: KeyBindings): void {
  editor.setBindings(bindings);
  localStorage.setItem(STORED, writeBindings(bindings));
}
