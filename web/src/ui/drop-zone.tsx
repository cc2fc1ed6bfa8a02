import { type ReactNode, useId, useState } from "react";
import styles from "./drop-zone.module.css";
import { Icon, type IconName } from "./icon";

type Props = {
  icon: IconName;
  accept: string;
  multiple?: boolean;
  /** A line only: something was chosen, and is shown below. */
  small?: boolean;
  onDrop: (dropped: DataTransfer) => void;
  onChoose: (files: readonly File[]) => void;
  children: ReactNode;
};

/** Where files are dropped, or chosen by mouse or keyboard. */
export function DropZone({ icon, accept, multiple = false, small = false, onDrop, onChoose, children }: Props) {
  const id = useId();
  const [over, setOver] = useState(false);
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dropping adds to the file input inside, which keyboards and screen readers use
    <div
      className={`${styles.zone} ${over ? styles.over : ""} ${small ? styles.small : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        onDrop(event.dataTransfer);
      }}
    >
      <input
        id={id}
        className="visually-hidden"
        type="file"
        multiple={multiple}
        accept={accept}
        onChange={({ target }) => onChoose([...(target.files ?? [])])}
      />
      <label htmlFor={id} className={styles.label}>
        <Icon name={icon} size={20} />
        {children}
      </label>
    </div>
  );
}
