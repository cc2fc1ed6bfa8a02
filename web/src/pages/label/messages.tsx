import type { Editor } from "../../editor/editor";
import { Button, IconButton } from "../../ui/button";
import { Notice } from "../../ui/notice";
import { keyOf } from "./key-names";
import styles from "./messages.module.css";
import { useSnapshot } from "./use-editor";

const MASKING: ReadonlySet<string> = new Set(["smart", "wand"]);

type Props = {
  editor: Editor;
  /** Why the picture cannot be shown. */
  error: Error | null;
  onRetry: () => void;
  /** What the page has to say of the last step. */
  words: string | null;
  isLoading: boolean;
};

/** What the user should know, at the foot of the canvas. */
export function Messages({ editor, error, onRetry, words, isLoading }: Props) {
  const notice = useSnapshot(editor, (snapshot) => snapshot.notice);
  const refused = useSnapshot(editor, ({ sending }) => (sending.kind === "refused" ? sending : null));
  const isMasking = useSnapshot(editor, ({ tool, preview }) => MASKING.has(tool) && !!preview?.annotations.length);
  return (
    <div className={styles.messages}>
      {isMasking && (
        <p className={styles.hint}>
          <kbd>{keyOf(editor, "finish")}</kbd> keeps the mask, <kbd>{keyOf(editor, "finishAsPolygon")}</kbd> its
          outline. Click what belongs to it, too; with <kbd>Alt</kbd> what does not.
        </p>
      )}
      {refused && (
        <Notice
          kind="error"
          action={
            <>
              <Button onClick={editor.retryRefused}>Try again</Button>
              <Button onClick={editor.dismissRefused}>Discard it</Button>
            </>
          }
        >
          An edit of picture {refused.position + 1} was refused and is kept aside; the picture shows what the server
          has. {refused.message}
        </Notice>
      )}
      {error && (
        <Notice kind="error" action={<Button onClick={onRetry}>Try again</Button>}>
          {error.message}
        </Notice>
      )}
      {notice && (
        <Notice action={<IconButton icon="close" label="Close this message" onClick={editor.dismissNotice} />}>
          {notice}
        </Notice>
      )}
      {words && <Notice>{words}</Notice>}
      {isLoading && <span className="visually-hidden">Loading the picture</span>}
    </div>
  );
}
