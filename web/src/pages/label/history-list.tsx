import { useMutation, useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import type { Editor } from "../../editor/editor";
import { Button } from "../../ui/button";
import { ForRole } from "../../ui/for-role";
import { ErrorNotice } from "../../ui/notice";
import styles from "./history-list.module.css";
import { type JournalEntry, readHistory, restoreRevision } from "./requests";
import { useSnapshot } from "./use-editor";

/** Every edit that the picture ever had; its labels as they were after any of them can come back. */
export function HistoryList({ editor, dataset }: { editor: Editor; dataset: string }) {
  const picture = useSnapshot(editor, (snapshot) => snapshot.picture);
  const document = useSnapshot(editor, (snapshot) => snapshot.document);
  const isSaved = useSnapshot(editor, (snapshot) => snapshot.sending.kind === "saved");
  const position = picture?.position;
  const history = useQuery({
    queryKey: ["history", dataset, position],
    queryFn: () => readHistory(dataset, position as number),
    enabled: position !== undefined,
    gcTime: 0,
  });
  const { refetch } = history;
  // biome-ignore lint/correctness/useExhaustiveDependencies: a document that is saved anew has an edit more
  useEffect(() => {
    if (isSaved && position !== undefined) void refetch();
  }, [isSaved, position, document, refetch]);
  const restore = useMutation({
    mutationFn: async (revision: number) => picture && editor.open(await restoreRevision(dataset, picture, revision)),
  });
  const edits = history.data ?? [];
  const error = history.error ?? restore.error;
  return (
    <div className={styles.scroller}>
      {error && <ErrorNotice error={error} action={<Button onClick={() => history.refetch()}>Try again</Button>} />}
      {history.isSuccess && edits.length === 0 && <p className={styles.none}>Nobody edited this picture yet.</p>}
      <ol className={styles.list}>
        {edits.map((edit, place) => (
          <Entry
            key={edit.revision}
            edit={edit}
            isPresent={place === 0}
            isBusy={restore.isPending || !isSaved}
            onRestore={() => restore.mutate(edit.revision)}
          />
        ))}
        {edits.length > 0 && (
          <li className={styles.entry}>
            <span className={styles.words}>As it was before all edits</span>
            <RestoreButton
              isBusy={restore.isPending || !isSaved}
              onClick={() => restore.mutate(0)}
              label="Restore the labels before all edits"
            />
          </li>
        )}
      </ol>
    </div>
  );
}

type EntryProps = { edit: JournalEntry; isPresent: boolean; isBusy: boolean; onRestore: () => void };

function Entry({ edit, isPresent, isBusy, onRestore }: EntryProps) {
  return (
    <li className={styles.entry}>
      <span className={styles.words}>
        <span className={styles.summary}>{edit.summary}</span>
        <span className={styles.who}>
          {edit.author} · <time dateTime={edit.made_at}>{formatTime(edit.made_at)}</time>
        </span>
      </span>
      {isPresent ? (
        <span className={styles.present}>now</span>
      ) : (
        <RestoreButton isBusy={isBusy} onClick={onRestore} label={`Restore the labels after: ${edit.summary}`} />
      )}
    </li>
  );
}

function RestoreButton({ isBusy, onClick, label }: { isBusy: boolean; onClick: () => void; label: string }) {
  return (
    <ForRole least="editor">
      <button
        type="button"
        className={styles.restore}
        disabled={isBusy}
        aria-label={label}
        title={label}
        onClick={onClick}
      >
        Restore
      </button>
    </ForRole>
  );
}

/** Today's times by the clock, others with their day. */
function formatTime(iso: string): string {
  const at = new Date(iso);
  const isToday = at.toDateString() === new Date().toDateString();
  return at.toLocaleString("en-GB", isToday ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
}
