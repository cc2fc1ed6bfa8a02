import { useState } from "react";
import { IconButton } from "./button";
import styles from "./command-line.module.css";

type Props = { command: string; what?: string };

/** A command to type into a terminal, or another text to be copied whole, with a button that does. */
export function CommandLine({ command, what = "the command" }: Props) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(command);
    setCopied(true);
  };
  return (
    <div className={styles.line}>
      <code>{command}</code>
      <IconButton icon={copied ? "check" : "copy"} label={copied ? "Copied" : `Copy ${what}`} onClick={copy} />
    </div>
  );
}
