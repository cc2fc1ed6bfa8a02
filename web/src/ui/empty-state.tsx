import type { ReactNode } from "react";
import styles from "./empty-state.module.css";
import { Icon, type IconName } from "./icon";

type Props = { icon: IconName; title: string; children?: ReactNode; actions?: ReactNode };

/** What stands where nothing is yet: why, and the next step. */
export function EmptyState({ icon, title, children, actions }: Props) {
  return (
    <section className={styles.empty}>
      <span className={styles.mark}>
        <Icon name={icon} size={22} />
      </span>
      <h2>{title}</h2>
      {children && <div className={styles.text}>{children}</div>}
      {actions && <div className={styles.actions}>{actions}</div>}
    </section>
  );
}
