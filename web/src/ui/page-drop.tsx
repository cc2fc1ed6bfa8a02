import { type ReactNode, useEffect, useState } from "react";
import { Icon } from "./icon";
import styles from "./page-drop.module.css";

type Props = {
  onDrop: (dropped: DataTransfer) => void;
  /** What is said while files are held over the page. */
  children: ReactNode;
};

/** Takes files that are dropped anywhere on the page; an open dialog has its own place for them. */
export function PageDrop({ onDrop, children }: Props) {
  const [over, setOver] = useState(false);
  useEffect(() => {
    const isOurs = (event: DragEvent) =>
      event.dataTransfer?.types.includes("Files") === true && document.querySelector("dialog[open]") === null;
    const onOver = (event: DragEvent) => {
      if (!isOurs(event)) return;
      event.preventDefault();
      setOver(true);
    };
    // A drag leaves the page when it goes into nothing; else it goes into the next element.
    const onLeave = (event: DragEvent) => event.relatedTarget === null && setOver(false);
    const onDropped = (event: DragEvent) => {
      setOver(false);
      if (!isOurs(event) || !event.dataTransfer) return;
      event.preventDefault();
      onDrop(event.dataTransfer);
    };
    document.addEventListener("dragover", onOver);
    document.addEventListener("dragleave", onLeave);
    document.addEventListener("drop", onDropped);
    return () => {
      document.removeEventListener("dragover", onOver);
      document.removeEventListener("dragleave", onLeave);
      document.removeEventListener("drop", onDropped);
    };
  }, [onDrop]);
  if (!over) return null;
  return (
    <div className={styles.veil}>
      <p className={styles.words}>
        <Icon name="upload" size={24} />
        {children}
      </p>
    </div>
  );
}
