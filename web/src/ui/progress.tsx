import styles from "./progress.module.css";

/** How far something is, 0..1, or null while nobody knows. */
export function Progress({ label, value }: { label: string; value: number | null }) {
  const percent = value === null ? undefined : Math.round(value * 100);
  return (
    <div
      className={styles.track}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
    >
      <div
        className={percent === undefined ? styles.unknown : styles.done}
        style={percent === undefined ? undefined : { width: `${percent}%` }}
      />
    </div>
  );
}
