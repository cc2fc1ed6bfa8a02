import type { ReactNode } from "react";
import { Icon } from "./icon";
import styles from "./notice.module.css";

type Props = { kind?: "info" | "good" | "warning" | "error"; action?: ReactNode; children: ReactNode };

/** Something that the reader should know, where it matters. An error is spoken at once. */
export function Notice({ kind = "info", action, children }: Props) {
  return (
    <div className={`${styles.notice} ${styles[kind]}`} role={kind === "error" ? "alert" : "status"}>
      {kind !== "info" && <Icon name={kind === "good" ? "check" : "warning"} />}
      <div className={styles.text}>{children}</div>
      {action}
    </div>
  );
}

/** What went wrong, in the server's own words, and a way to try again. */
export function ErrorNotice({ error, action }: { error: unknown; action?: ReactNode }) {
  return (
    <Notice kind="error" action={action}>
      {error instanceof Error ? error.message : String(error)}
    </Notice>
  );
}
