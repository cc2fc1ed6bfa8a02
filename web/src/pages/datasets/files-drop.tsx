import { DropZone } from "../../ui/drop-zone";
import { countOf, formatBytes } from "../../ui/format";
import { readDropped } from "./dropped-files";
import { VIDEO_FILES } from "./videos";

type Props = { files: readonly File[]; onChange: (files: readonly File[]) => void };

const ACCEPTED = `image/*,.zip,.tar,.gz,.tgz,.tif,.tiff,.bmp,.webp,video/*,${VIDEO_FILES}`;

/** Where the pictures of a new dataset are dropped, or their archive. */
export function FilesDrop({ files, onChange }: Props) {
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  return (
    <DropZone
      icon="upload"
      multiple
      accept={ACCEPTED}
      onDrop={async ({ items }) => onChange(await readDropped(items))}
      onChoose={onChange}
    >
      {files.length === 0 ? (
        <span>
          Drop pictures, videos, a folder or a zip here, or <u>choose files</u>
        </span>
      ) : (
        <span aria-live="polite">
          <b>{files.length === 1 ? files[0]?.name : countOf(files.length, "file")}</b> · {formatBytes(bytes)} ·{" "}
          <u>choose others</u>
        </span>
      )}
    </DropZone>
  );
}
