import { type ReactNode, type SelectHTMLAttributes, useId } from "react";
import styles from "./field.module.css";

type Props = SelectHTMLAttributes<HTMLSelectElement> & { label: string; hint?: ReactNode; children: ReactNode };

/** A choice from a list under its label. */
export function SelectField({ label, hint, children, ...rest }: Props) {
  const id = useId();
  return (
    <div className={styles.field}>
      <label htmlFor={id} className={styles.label}>
        {label}
      </label>
      <select id={id} className={styles.input} aria-describedby={hint ? `${id}-note` : undefined} {...rest}>
        {children}
      </select>
      {hint && (
        <p id={`${id}-note`} className={styles.hint}>
          {hint}
        </p>
      )}
    </div>
  );
}
