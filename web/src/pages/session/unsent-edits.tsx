import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
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
  useEffect(() => {
    const editors = new Map<string, Editor>();
    const look = () => {
      for (const dataset of findUnsentDatasets(window.localStorage, Date.now())) {
        if (editors.has(dataset)) continue;
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
    return () => {
      clearInterval(timer);
      for (const editor of editors.values()) editor.close();
    };
  }, [client]);
  return waiting;
}
