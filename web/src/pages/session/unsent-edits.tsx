import { useQueryClient } from "@tanstack/react-query";
import { useLayoutEffect, useState } from "react";
import { useMatch } from "react-router";
import { refreshDataset } from "../../api/hooks";
import type { Editor } from "../../editor/editor";
import { findUnsentDatasets, RENEW_MS } from "../../editor/outbox";
import { countOf } from "../../ui/format";
import { Notice } from "../../ui/notice";
import { createBrowserEditor } from "../label/use-editor";
import styles from "./signed-out.module.css";

/**
 * Sends what editors that are no longer open have left in this browser, from whatever page is open now, and says how much still waits.
 * A page of the editor that is open sends its own, also of what it finds here.
 */
export default function UnsentEdits() {
  const waiting = useUnsentEdits();
  if (waiting === 0) return null;
  return (
    <div className={styles.reminder}>
      <Notice kind="warning">{countOf(waiting, "edit")} of earlier pages not saved yet: they are being sent.</Notice>
    </div>
  );
}

function useUnsentEdits(): number {
  const client = useQueryClient();
  const [waiting, setWaiting] = useState(0);
  const open = useMatch("/datasets/:name/label/:position")?.params.name;
  // Before the effects of the editor's page, which takes over what is let go of here.
  useLayoutEffect(() => {
    const editors = new Map<string, Editor>();
    const look = () => {
      for (const dataset of findUnsentDatasets(window.localStorage, Date.now())) {
        if (editors.has(dataset) || dataset === open) continue;
        const editor = createBrowserEditor(dataset);
        editors.set(dataset, editor);
        editor.subscribe(count);
      }
      count();
    };
    const count = () => {
      let sum = 0;
      for (const [dataset, editor] of editors) {
        const { sending } = editor.getSnapshot();
        sum += sending.kind === "saved" ? 0 : sending.waiting;
        if (editor.hasUnsent()) continue;
        editor.close();
        editors.delete(dataset);
        void refreshDataset(client, dataset);
      }
      setWaiting(sum);
    };
    look();
    const timer = setInterval(look, RENEW_MS);
    const stop = () => {
      clearInterval(timer);
      window.removeEventListener("pagehide", stop);
      for (const editor of editors.values()) editor.close();
    };
    window.addEventListener("pagehide", stop);
    return stop;
  }, [client, open]);
  return waiting;
}
