import { useEffect, useRef, useState } from "react";
import { Link } from "react-router";
import { datasetPath } from "../../api/addresses";
import { useRefreshDataset } from "../../api/hooks";
import type { Upload } from "../../api/types";
import { type Uploading, uploadDataset } from "../../api/upload";
import { Button, buttonClass } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { NameField, TextField } from "../../ui/field";
import { countOf } from "../../ui/format";
import { ErrorNotice, Notice } from "../../ui/notice";
import { Progress } from "../../ui/progress";
import { ConversionReport } from "./conversion-report";
import styles from "./create-dataset.module.css";
import { FilesDrop } from "./files-drop";
import { checkName, splitCategories, suggestName } from "./naming";
import { describeSampling, isVideo, readSeconds } from "./videos";

type Step =
  | { readonly kind: "choosing"; readonly error?: unknown }
  | { readonly kind: "sending"; readonly share: number }
  | { readonly kind: "done"; readonly upload: Upload };

/** Makes a dataset of pictures, of frames of videos, or of a zip with labels, and shows what became of every file. */
export function CreateDataset({ taken, onClose }: { taken: readonly string[]; onClose: () => void }) {
  const [files, setFiles] = useState<readonly File[]>([]);
  const [typed, setTyped] = useState<string | null>(null);
  const [categories, setCategories] = useState("");
  const [seconds, setSeconds] = useState("1");
  const [step, setStep] = useState<Step>({ kind: "choosing" });
  const running = useRef<Uploading | null>(null);
  const name = typed ?? suggestName(files, taken);
  const refresh = useRefreshDataset(name);
  const wrong = name ? checkName(name, taken) : undefined;
  const hasVideo = files.some(isVideo);
  const everyS = hasVideo ? readSeconds(seconds) : null;
  const ready = files.length > 0 && name && !wrong && !(hasVideo && everyS === null);
  useEffect(() => () => running.current?.stop(), []);

  const send = async () => {
    setStep({ kind: "sending", share: 0 });
    const wanted = { name, categories: splitCategories(categories), everyS, files };
    running.current = uploadDataset(wanted, (share) => setStep({ kind: "sending", share }));
    try {
      const upload = await running.current.done;
      setStep({ kind: "done", upload });
      void refresh();
    } catch (error) {
      const stopped = error instanceof DOMException && error.name === "AbortError";
      setStep(stopped ? { kind: "choosing" } : { kind: "choosing", error });
    }
  };

  if (step.kind === "done") return <Done upload={step.upload} onClose={onClose} />;
  if (step.kind === "sending") {
    return (
      <Dialog
        title="New dataset"
        onClose={onClose}
        actions={<Button onClick={() => running.current?.stop()}>Stop</Button>}
      >
        <Sending share={step.share} count={files.length} />
      </Dialog>
    );
  }
  return (
    <Dialog
      title="New dataset"
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" icon="upload" disabled={!ready} onClick={send}>
            {files.length > 0 ? `Upload ${countOf(files.length, "file")}` : "Upload"}
          </Button>
        </>
      }
    >
      {step.error !== undefined && <ErrorNotice error={step.error} />}
      <FilesDrop files={files} onChange={setFiles} />
      {hasVideo && (
        <TextField
          label="Of videos, a frame every … seconds"
          value={seconds}
          inputMode="decimal"
          autoComplete="off"
          hint={everyS === null ? undefined : describeSampling(everyS)}
          error={everyS === null ? "A number above 0, such as 1 or 0.2" : undefined}
          onChange={(event) => setSeconds(event.target.value)}
        />
      )}
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

function Sending({ share, count }: { share: number; count: number }) {
  const sent = share >= 1;
  return (
    <div className={styles.sending} aria-live="polite">
      <p>{sent ? "Reading and checking every picture…" : `Uploading ${countOf(count, "file")}…`}</p>
      <Progress label={sent ? "Import" : "Upload"} value={sent ? null : share} />
      <p className={styles.note}>{sent ? "Large archives take a while." : `${Math.round(share * 100)} %`}</p>
    </div>
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
