import styles from "./skeleton.module.css";

/** Grey boxes where something is being loaded, said once to those who do not see them. */
export function Skeleton({ label, count, className = "" }: { label: string; count: number; className?: string }) {
  return (
    <>
      <p className="visually-hidden" role="status">
        {label}
      </p>
      {Array.from({ length: count }, (_, place) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: all of them are the same
        <div key={place} className={`${styles.skeleton} ${className}`} aria-hidden="true" />
      ))}
    </>
  );
}
