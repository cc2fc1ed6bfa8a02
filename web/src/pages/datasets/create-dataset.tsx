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
import { Notice } from "../../ui/notice";
import { ConversionReport } from "./conversion-report";
import { checkName, splitCategories, suggestName } from "./naming";
import { Sending } from "./sending";
import { UploadForm, useChosenFiles } from "./upload-form";
import { useUpload } from "./use-upload";

/** Makes a dataset of pictures, of frames of videos, or of a zip with labels, and shows what became of every file. */
export function CreateDataset({ taken, onClose }: { taken: readonly string[]; onClose: () => void }) {
  const chosen = useChosenFiles();
  const { files, everyS } = chosen;
  const [typed, setTyped] = useState<string | null>(null);
  const [categories, setCategories] = useState("");
  const { step, send, stop } = useUpload<Upload>();
  const name = typed ?? suggestName(files, taken);
  const refresh = useRefreshDataset(name);
  const wrong = name ? checkName(name, taken) : undefined;
  const isNamed = name !== "" && !wrong;
  const upload = () => {
    const wanted = { categories: splitCategories(categories), everyS, files };
    void send((onShare) => uploadDataset(name, wanted, onShare)).then(refresh);
  };

  if (step.kind === "done") return <Done upload={step.answer} onClose={onClose} />;
  if (step.kind === "sending") {
    return <Sending title="New dataset" share={step.share} count={files.length} onStop={stop} onClose={onClose} />;
  }
  return (
    <UploadForm
      title="New dataset"
      chosen={chosen}
      ready={isNamed}
      error={step.error}
      onUpload={upload}
      onClose={onClose}
    >
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
    </UploadForm>
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
