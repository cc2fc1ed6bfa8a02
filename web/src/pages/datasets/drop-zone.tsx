import { type DragEvent, useId, useState } from "react";
import { countOf, formatBytes } from "../../ui/format";
import { Icon } from "../../ui/icon";
import styles from "./drop-zone.module.css";
import { readDropped } from "./dropped-files";

type Props = { files: readonly File[]; onChange: (files: readonly File[]) => void };

const ACCEPTED = "image/*,.zip,.tar,.gz,.tgz,.tif,.tiff,.bmp,.webp";

/** Where pictures are dropped, or chosen by mouse or keyboard. */
export function DropZone({ files, onChange }: Props) {
  const id = useId();
  const [over, setOver] = useState(false);
  const drop = async (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    onChange(await readDropped(event.dataTransfer.items));
  };
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dropping adds to the file input inside, which keyboards and screen readers use
    <div
      className={`${styles.zone} ${over ? styles.over : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <input
        id={id}
        className="visually-hidden"
        type="file"
        multiple
        accept={ACCEPTED}
        onChange={(event) => onChange([...(event.target.files ?? [])])}
      />
      <label htmlFor={id} className={styles.label}>
        <Icon name="upload" size={20} />
        {files.length === 0 ? (
          <span>
            Drop pictures, a folder or a zip here, or <u>choose files</u>
          </span>
        ) : (
          <span aria-live="polite">
            <b>{files.length === 1 ? files[0]?.name : countOf(files.length, "file")}</b> · {formatBytes(bytes)} ·{" "}
            <u>choose others</u>
          </span>
        )}
      </label>
    </div>
  );
}
