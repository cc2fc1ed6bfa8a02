import type { ButtonHTMLAttributes, ReactNode } from "react";
import styles from "./button.module.css";
import { Icon, type IconName } from "./icon";

export type ButtonKind = "primary" | "plain" | "quiet" | "danger";

type Props = ButtonHTMLAttributes<HTMLButtonElement> & {
  kind?: ButtonKind;
  icon?: IconName;
  /** Shows that the button's work goes on; meanwhile it takes no click. */
  busy?: boolean;
  children: ReactNode;
};

export function Button({ kind = "plain", icon, busy = false, disabled, className = "", children, ...rest }: Props) {
  return (
    <button
      type="button"
      className={`${styles.button} ${styles[kind]} ${className}`}
      disabled={disabled || busy}
      aria-busy={busy || undefined}
      {...rest}
    >
      {busy ? <span className={styles.spinner} aria-hidden="true" /> : icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

type IconButtonProps = Omit<ButtonHTMLAttributes<HTMLButtonElement>, "children"> & { icon: IconName; label: string };

/** A button that is only a picture; its name is its label. */
export function IconButton({ icon, label, className = "", ...rest }: IconButtonProps) {
  return (
    <button
      type="button"
      className={`${styles.button} ${styles.quiet} ${styles.icon} ${className}`}
      aria-label={label}
      title={label}
      {...rest}
    >
      <Icon name={icon} />
    </button>
  );
}

/** The look of a button for a link. */
export function buttonClass(kind: ButtonKind = "plain"): string {
  return `${styles.button} ${styles[kind]}`;
}
