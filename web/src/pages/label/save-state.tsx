import type { Editor } from "../../editor/editor";
import { countOf } from "../../ui/format";
import { Icon } from "../../ui/icon";
import styles from "./save-state.module.css";
import { useSnapshot } from "./use-editor";

/** Whether everything that was done is in the journal, in a few words that are always there. */
export function SaveState({ editor }: { editor: Editor }) {
  const sending = useSnapshot(editor, (snapshot) => snapshot.sending);
  const { kind, waiting } = { waiting: 0, ...sending };
  const words = {
    saved: "All saved",
    saving: "Saving…",
    offline: `Offline: ${countOf(waiting, "edit")} ${waiting === 1 ? "waits" : "wait"}`,
    refused: "An edit was refused",
  }[kind];
  const why = sending.kind === "offline" ? sending.reason : sending.kind === "refused" ? sending.message : undefined;
  return (
    <span className={`${styles.state} ${styles[kind]}`} role="status" title={why}>
      <span className={styles.dot} aria-hidden="true">
        {kind === "saved" && <Icon name="check" size={12} />}
      </span>
      <span className={styles.words}>{words}</span>
      {kind === "offline" && (
        <button type="button" className={styles.retry} onClick={editor.retryNow}>
          Try now
        </button>
      )}
    </span>
  );
}
