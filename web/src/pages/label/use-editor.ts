/** The editor of one dataset for as long as its page is open, and reading parts of what it shows without rendering for the rest. */
import { useEffect, useState, useSyncExternalStore } from "react";

import { createEditor, type Editor } from "../../editor/editor";
import type { EditorSnapshot } from "../../editor/snapshot";
import { loadKeys } from "./own-keys";
import { cutOut, loadItem, sendEdit } from "./requests";

/** A part of the snapshot; who asks renders again only when that part is another value. */
export function useSnapshot<Part>(editor: Editor, pick: (snapshot: EditorSnapshot) => Part): Part {
  return useSyncExternalStore(editor.subscribe, () => pick(editor.getSnapshot()));
}

/** An editor that the server, this browser's storage and its clock serve. */
export function createBrowserEditor(dataset: string): Editor {
  return createEditor({
    dataset,
    send: sendEdit,
    load: loadItem,
    cutOut,
    storage: window.localStorage,
    scheduler: { now: Date.now, after },
    random,
  });
}

export function useEditor(dataset: string): Editor | null {
  const [editor, setEditor] = useState<Editor | null>(null);
  useEffect(() => {
    const made = createBrowserEditor(dataset);
    made.setBindings(loadKeys());
    setEditor(made);
    const ends = new AbortController();
    const { signal } = ends;
    window.addEventListener("online", () => made.retryNow(), { signal });
    // Nothing is lost when the page closes: what was not sent waits in this browser. But it waits only here, so one is asked.
    window.addEventListener("beforeunload", (event) => made.hasUnsent() && event.preventDefault(), { signal });
    // The next page sends what this one could not; this one, should the browser show it again, begins anew.
    window.addEventListener("pagehide", () => made.close(), { signal });
    window.addEventListener("pageshow", (event) => event.persisted && window.location.reload(), { signal });
    return () => {
      ends.abort();
      made.close();
      setEditor(null);
    };
  }, [dataset]);
  return editor;
}

function after(milliseconds: number, callBack: () => void): () => void {
  const timer = window.setTimeout(callBack, milliseconds);
  return () => window.clearTimeout(timer);
}

function random(): number {
  return (crypto.getRandomValues(new Uint32Array(1))[0] as number) / 2 ** 32;
}
