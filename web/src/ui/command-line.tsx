import { useState } from "react";
import { IconButton } from "./button";
import styles from "./command-line.module.css";

/** A command to type into a terminal, with a button that copies it. */
export function CommandLine({ command }: { command: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(command);
    setCopied(true);
  };
  return (
    <div className={styles.line}>
      <code>{command}</code>
      <IconButton icon={copied ? "check" : "copy"} label={copied ? "Copied" : "Copy the command"} onClick={copy} />
    </div>
  );
}
