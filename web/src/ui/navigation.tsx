import { Link, useLocation } from "react-router";
import { useSession } from "../api/hooks";
import { useRunningJobs } from "../api/jobs";
import { countOf } from "./format";
import styles from "./navigation.module.css";
import { findSection, SECTIONS } from "./sections";

/** The parts of the platform; the number of running jobs is seen from everywhere. */
export function Navigation() {
  const session = useSession();
  const here = findSection(useLocation().pathname);
  const running = useRunningJobs().length;
  if (!session.data) return null;
  return (
    <nav aria-label="Sightline">
      <ul className={styles.sections}>
        {SECTIONS.map(({ name, path }) => (
          <li key={path}>
            <Link to={path} className={styles.section} aria-current={name === here ? "page" : undefined}>
              {name}
              {name === "Jobs" && running > 0 && (
                <span className={styles.count}>
                  <span aria-hidden="true">{running}</span>
                  <span className="visually-hidden">, {countOf(running, "job")} running</span>
                </span>
              )}
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  );
}
