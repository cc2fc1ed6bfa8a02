import type { ReactNode } from "react";
import styles from "./page.module.css";

type HeadProps = { title: ReactNode; note?: ReactNode; mark?: ReactNode; actions?: ReactNode };

/** The column that a page's content stands in. */
export function Page({ children }: { children: ReactNode }) {
  return <div className={styles.page}>{children}</div>;
}

/** What the page is about, a line on it, and what can be done. */
export function PageHead({ title, note, mark, actions }: HeadProps) {
  return (
    <header className={styles.head}>
      <div className={styles.title}>
        <h1>
          {title}
          {mark}
        </h1>
        {note && <p>{note}</p>}
      </div>
      {actions && <div className={styles.actions}>{actions}</div>}
    </header>
  );
}

/** A part of a page with a title of its own. */
export function Card({ title, actions, children }: { title?: string; actions?: ReactNode; children: ReactNode }) {
  return (
    <section className={styles.card}>
      {(title || actions) && (
        <header className={styles.cardHead}>
          {title && <h2>{title}</h2>}
          {actions}
        </header>
      )}
      {children}
    </section>
  );
}

/** The page's parts: a wide column, and a narrow one with the facts. */
export function Columns({ children, side }: { children: ReactNode; side: ReactNode }) {
  return (
    <div className={styles.columns}>
      <div className={styles.wide}>{children}</div>
      <div className={styles.side}>{side}</div>
    </div>
  );
}
