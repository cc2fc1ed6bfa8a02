import { type InputHTMLAttributes, type ReactNode, type Ref, type SelectHTMLAttributes, useId } from "react";
import styles from "./field.module.css";
import { Icon, type IconName } from "./icon";

type TextFieldProps = InputHTMLAttributes<HTMLInputElement> & {
  label: string;
  hint?: string | undefined;
  error?: string | undefined;
  inputRef?: Ref<HTMLInputElement>;
};

/** A line of text under its label; an error replaces the hint. */
export function TextField({ label, hint, error, inputRef, ...rest }: TextFieldProps) {
  const id = useId();
  const note = error ?? hint;
  return (
    <div className={styles.field}>
      <label htmlFor={id} className={styles.label}>
        {label}
      </label>
      <input
        ref={inputRef}
        id={id}
        type="text"
        className={styles.input}
        aria-invalid={error ? true : undefined}
        aria-describedby={note ? `${id}-note` : undefined}
        {...rest}
      />
      {note && (
        <p id={`${id}-note`} className={error ? styles.error : styles.hint} role={error ? "alert" : undefined}>
          {note}
        </p>
      )}
    </div>
  );
}

/** The name of something in the workspace. */
export function NameField(props: TextFieldProps) {
  return <TextField maxLength={100} spellCheck={false} autoComplete="off" {...props} />;
}

type SearchFieldProps = InputHTMLAttributes<HTMLInputElement> & { label: string; icon?: IconName };

/** A line of text whose label is only spoken. */
export function SearchField({ label, icon = "search", className = "", ...rest }: SearchFieldProps) {
  return (
    <span className={`${styles.search} ${className}`}>
      <Icon name={icon} />
      <input type="search" className={styles.input} aria-label={label} placeholder={label} {...rest} />
    </span>
  );
}

type SelectProps = SelectHTMLAttributes<HTMLSelectElement> & { label: string; children: ReactNode };

/** A choice from a list; its label is only spoken, since its first option says what it chooses. */
export function Select({ label, className = "", children, ...rest }: SelectProps) {
  return (
    <select className={`${styles.input} ${styles.select} ${className}`} aria-label={label} {...rest}>
      {children}
    </select>
  );
}
