import { useState } from "react";
import { useRefreshDataset } from "../../api/hooks";
import type { Addition } from "../../api/types";
import { uploadPictures } from "../../api/upload";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { countOf } from "../../ui/format";
import { ErrorNotice, Notice } from "../../ui/notice";
import { ConversionReport } from "../datasets/conversion-report";
import { FilesDrop } from "../datasets/files-drop";
import { SecondsField } from "../datasets/seconds-field";
import { Sending } from "../datasets/sending";
import { useUpload } from "../datasets/use-upload";
import { isVideo, readSeconds } from "../datasets/videos";

type Props = {
  dataset: string;
  /** What was dropped on the page. */
  dropped: readonly File[];
  onClose: () => void;
};

/** Adds pictures to a dataset, or what an archive or videos hold, and shows what became of every file. */
export function AddPictures({ dataset, dropped, onClose }: Props) {
  const [files, setFiles] = useState(dropped);
  const [seconds, setSeconds] = useState("1");
  const { step, send, stop } = useUpload<Addition>();
  const refresh = useRefreshDataset(dataset);
  const title = `Add pictures to ${dataset}`;
  const hasVideo = files.some(isVideo);
  const everyS = hasVideo ? readSeconds(seconds) : null;
  const ready = files.length > 0 && !(hasVideo && everyS === null);
  const upload = () =>
    void send((onShare) => uploadPictures(dataset, { categories: [], everyS, files }, onShare)).then(refresh);
  if (step.kind === "done") return <Done title={title} addition={step.answer} onClose={onClose} />;
  if (step.kind === "sending") {
    return <Sending title={title} share={step.share} count={files.length} onStop={stop} onClose={onClose} />;
  }
  return (
    <Dialog
      title={title}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" icon="upload" disabled={!ready} onClick={upload}>
            {files.length > 0 ? `Upload ${countOf(files.length, "file")}` : "Upload"}
          </Button>
        </>
      }
    >
      {step.error !== undefined && <ErrorNotice error={step.error} />}
      <FilesDrop files={files} onChange={setFiles} />
      {hasVideo && <SecondsField value={seconds} onChange={setSeconds} />}
      <p>
        They come in a new version, with all edits. Pictures that are in the dataset already are left out; those without
        a split get one, in the shares that the dataset has now.
      </p>
    </Dialog>
  );
}

function Done({ title, addition, onClose }: { title: string; addition: Addition; onClose: () => void }) {
  const { added, dataset, report } = addition;
  return (
    <Dialog
      title={title}
      onClose={onClose}
      actions={
        <Button kind="primary" onClick={onClose}>
          Done
        </Button>
      }
    >
      <Notice kind={added > 0 ? "good" : "info"}>
        {added > 0 ? `${countOf(added, "picture")} added` : "Nothing was added"}: <b>{dataset.name}</b> holds{" "}
        {countOf(dataset.item_count, "picture")}.
      </Notice>
      <ConversionReport report={report} />
    </Dialog>
  );
}
