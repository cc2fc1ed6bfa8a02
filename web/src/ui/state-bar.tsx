import type { ItemState } from "../api/types";
import { formatCount } from "./format";
import styles from "./state-bar.module.css";

const ORDER: readonly ItemState[] = ["labelled", "proposed", "unlabelled"];

/** How much of a dataset is labelled: one bar in three parts; with `legend` also in numbers below it. */
export function StateBar({ counts, legend = false }: { counts: Record<ItemState, number>; legend?: boolean }) {
  const total = ORDER.reduce((sum, state) => sum + counts[state], 0);
  const words = ORDER.map((state) => `${formatCount(counts[state])} ${state}`);
  return (
    <div>
      <div className={styles.bar} role="img" aria-label={words.join(", ")}>
        {ORDER.filter((state) => counts[state] > 0).map((state) => (
          <span key={state} className={styles[state]} style={{ flexGrow: counts[state] / total }} />
        ))}
      </div>
      {legend && (
        <ul className={styles.legend}>
          {ORDER.map((state) => (
            <li key={state}>
              <StateMark state={state} />
              <span>
                <b>{formatCount(counts[state])}</b> {state}
              </span>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** The mark of a state; shapes differ, so that colour is not needed to tell them apart. */
export function StateMark({ state }: { state: ItemState }) {
  return (
    <svg viewBox="0 0 14 14" width="14" height="14" className={styles[`mark-${state}`]} aria-hidden="true">
      {state === "labelled" && (
        <>
          <circle cx="7" cy="7" r="6.5" fill="currentColor" />
          <path d="M4 7.3l2 2 4-4.3" fill="none" stroke="var(--surface)" strokeWidth="1.6" strokeLinecap="round" />
        </>
      )}
      {state === "proposed" && (
        <>
          <circle cx="7" cy="7" r="5.75" fill="none" stroke="currentColor" strokeWidth="1.5" />
          <path d="M7 1.25a5.75 5.75 0 0 1 0 11.5z" fill="currentColor" />
        </>
      )}
      {state === "unlabelled" && (
        <circle cx="7" cy="7" r="5.75" fill="none" stroke="currentColor" strokeWidth="1.5" strokeDasharray="2.2 1.8" />
      )}
    </svg>
  );
}
