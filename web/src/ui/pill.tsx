import type { ReactNode } from "react";
import styles from "./pill.module.css";

export type PillTone = "plain" | "accent" | "good" | "warning" | "bad";

/** A short word on a state, in the state's tone. */
export function Pill({ tone = "plain", children }: { tone?: PillTone; children: ReactNode }) {
  return <span className={`${styles.pill} ${styles[tone]}`}>{children}</span>;
}
