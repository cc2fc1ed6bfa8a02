import { useMemo, useSyncExternalStore } from "react";
import type { Editor } from "../editor/editor";

/** Colours "#rrggbb" by the names of categories. */
export type Colours = ReadonlyMap<string, string>;

export function useColours(editor: Editor): Colours {
  const categories = useSyncExternalStore(editor.subscribe, () => editor.getSnapshot().categories);
  return useMemo(() => new Map(categories.map(({ name, colour }) => [name, colour])), [categories]);
}
