import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { countOf } from "../../ui/format";
import { Progress } from "../../ui/progress";
import styles from "./sending.module.css";

type Props = { title: string; share: number; count: number; onStop: () => void; onClose: () => void };

/** The dialog while files go to the server, and while it reads them. */
export function Sending({ title, share, count, onStop, onClose }: Props) {
  const sent = share >= 1;
  return (
    <Dialog title={title} onClose={onClose} actions={<Button onClick={onStop}>Stop</Button>}>
      <div className={styles.sending} aria-live="polite">
        <p>{sent ? "Reading and checking every picture…" : `Uploading ${countOf(count, "file")}…`}</p>
        <Progress label={sent ? "Import" : "Upload"} value={sent ? null : share} />
        <p className={styles.note}>{sent ? "Large archives take a while." : `${Math.round(share * 100)} %`}</p>
      </div>
    </Dialog>
  );
}
