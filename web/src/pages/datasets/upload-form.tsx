import { type ReactNode, useState } from "react";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { countOf } from "../../ui/format";
import { ErrorNotice } from "../../ui/notice";
import { FilesDrop } from "./files-drop";
import { SecondsField } from "./seconds-field";
import { isVideo, readSeconds } from "./videos";

/** Files to be sent, and how many seconds lie between the frames that are taken of videos among them. */
export function useChosenFiles(dropped: readonly File[] = []) {
  const [files, setFiles] = useState(dropped);
  const [seconds, setSeconds] = useState("1");
  const hasVideo = files.some(isVideo);
  const everyS = hasVideo ? readSeconds(seconds) : null;
  const ready = files.length > 0 && !(hasVideo && everyS === null);
  return { files, setFiles, seconds, setSeconds, hasVideo, everyS, ready };
}

type Props = {
  title: string;
  chosen: ReturnType<typeof useChosenFiles>;
  /** Whether all else that is asked for is right. */
  ready?: boolean;
  /** Why the upload before failed. */
  error: unknown;
  onUpload: () => void;
  onClose: () => void;
  children: ReactNode;
};

/** Asks for files and what goes with them. */
export function UploadForm({ title, chosen, ready = true, error, onUpload, onClose, children }: Props) {
  const { files, setFiles, seconds, setSeconds, hasVideo } = chosen;
  return (
    <Dialog
      title={title}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" icon="upload" disabled={!(ready && chosen.ready)} onClick={onUpload}>
            {files.length > 0 ? `Upload ${countOf(files.length, "file")}` : "Upload"}
          </Button>
        </>
      }
    >
      {error !== undefined && <ErrorNotice error={error} />}
      <FilesDrop files={files} onChange={setFiles} />
      {hasVideo && <SecondsField value={seconds} onChange={setSeconds} />}
      {children}
    </Dialog>
  );
}
