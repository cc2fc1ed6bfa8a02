import type { ReactNode } from "react";
import styles from "./facts.module.css";

export type Fact = readonly [name: string, value: ReactNode];

/** Names and their values, a line each, or several beside each other; a value that is absent leaves its line out. */
export function Facts({ facts, inColumns = false }: { facts: readonly Fact[]; inColumns?: boolean }) {
  return (
    <dl className={inColumns ? styles.columns : styles.facts}>
      {facts
        .filter(([, value]) => value !== null && value !== undefined && value !== "")
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

/** The few numbers that matter, large. */
export function Figures({ figures }: { figures: readonly Fact[] }) {
  return (
    <dl className={styles.figures}>
      {figures.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
