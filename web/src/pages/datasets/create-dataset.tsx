import { useState } from "react";
import { Link } from "react-router";
import { datasetPath } from "../../api/addresses";
import { useRefreshDataset } from "../../api/hooks";
import type { Upload } from "../../api/types";
import { uploadDataset } from "../../api/upload";
import { Button, buttonClass } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { NameField, TextField } from "../../ui/field";
import { countOf } from "../../ui/format";
import { ErrorNotice, Notice } from "../../ui/notice";
import { ConversionReport } from "./conversion-report";
import { FilesDrop } from "./files-drop";
import { checkName, splitCategories, suggestName } from "./naming";
import { SecondsField } from "./seconds-field";
import { Sending } from "./sending";
import { useUpload } from "./use-upload";
import { isVideo, readSeconds } from "./videos";

/** Makes a dataset of pictures, of frames of videos, or of a zip with labels, and shows what became of every file. */
export function CreateDataset({ taken, onClose }: { taken: readonly string[]; onClose: () => void }) {
  const [files, setFiles] = useState<readonly File[]>([]);
  const [typed, setTyped] = useState<string | null>(null);
  const [categories, setCategories] = useState("");
  const [seconds, setSeconds] = useState("1");
  const { step, send, stop } = useUpload<Upload>();
  const name = typed ?? suggestName(files, taken);
  const refresh = useRefreshDataset(name);
  const wrong = name ? checkName(name, taken) : undefined;
  const hasVideo = files.some(isVideo);
  const everyS = hasVideo ? readSeconds(seconds) : null;
  const ready = files.length > 0 && name && !wrong && !(hasVideo && everyS === null);
  const upload = () => {
    const wanted = { categories: splitCategories(categories), everyS, files };
    void send((onShare) => uploadDataset(name, wanted, onShare)).then(refresh);
  };

  if (step.kind === "done") return <Done upload={step.answer} onClose={onClose} />;
  if (step.kind === "sending") {
    return <Sending title="New dataset" share={step.share} count={files.length} onStop={stop} onClose={onClose} />;
  }
  return (
    <Dialog
      title="New dataset"
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
      <NameField
        label="Name"
        value={name}
        hint="Commands know it by this name: sightline train NAME"
        error={wrong}
        onChange={(event) => setTyped(event.target.value)}
      />
      <TextField
        label="Categories (optional)"
        value={categories}
        autoComplete="off"
        hint="What you will label, with commas between; a zip with labels brings its own. You can add more at any time."
        onChange={(event) => setCategories(event.target.value)}
      />
    </Dialog>
  );
}

function Done({ upload, onClose }: { upload: Upload; onClose: () => void }) {
  const { dataset, report } = upload;
  return (
    <Dialog
      title="New dataset"
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Close</Button>
          <Link className={buttonClass("primary")} to={datasetPath(dataset.name)}>
            Open {dataset.name}
          </Link>
        </>
      }
    >
      <Notice kind="good">
        <b>{dataset.name}</b> holds {countOf(dataset.item_count, "picture")}.
      </Notice>
      <ConversionReport report={report} />
    </Dialog>
  );
}
