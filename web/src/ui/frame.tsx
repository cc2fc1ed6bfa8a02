import { type ReactNode, useEffect } from "react";
import { Link } from "react-router";
import styles from "./frame.module.css";
import { Navigation } from "./navigation";
import { PersonMenu } from "./person-menu";

type Props = {
  /** The page's own name, for the tab of the browser. */
  title: string;
  children: ReactNode;
};

/** What stands around every page but the editor's: the product, its parts, and who you are. */
export function Frame({ title, children }: Props) {
  useEffect(() => {
    document.title = `${title} · Sightline`;
  }, [title]);
  return (
    <div className={styles.frame}>
      <header className={styles.bar}>
        <Link to="/" className={styles.brand}>
          <Logo />
          Sightline
        </Link>
        <Navigation />
        <PersonMenu />
      </header>
      <main className={styles.main}>{children}</main>
    </div>
  );
}

function Logo() {
  return (
    <svg
      viewBox="0 0 20 20"
      width="20"
      height="20"
      fill="none"
      stroke="currentColor"
      strokeWidth="2"
      aria-hidden="true"
    >
      <path d="M2 7V2h5M13 2h5v5M18 13v5h-5M7 18H2v-5" />
      <circle cx="10" cy="10" r="2.4" fill="currentColor" stroke="none" />
    </svg>
  );
}
