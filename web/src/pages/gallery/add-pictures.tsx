import { useRefreshDataset } from "../../api/hooks";
import type { Addition } from "../../api/types";
import { uploadPictures } from "../../api/upload";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { countOf } from "../../ui/format";
import { Notice } from "../../ui/notice";
import { ConversionReport } from "../datasets/conversion-report";
import { Sending } from "../datasets/sending";
import { UploadForm, useChosenFiles } from "../datasets/upload-form";
import { useUpload } from "../datasets/use-upload";

type Props = {
  dataset: string;
  /** What was dropped on the page. */
  dropped: readonly File[];
  onClose: () => void;
};

/** Adds pictures to a dataset, or what an archive or videos hold, and shows what became of every file. */
export function AddPictures({ dataset, dropped, onClose }: Props) {
  const chosen = useChosenFiles(dropped);
  const { step, send, stop } = useUpload<Addition>();
  const refresh = useRefreshDataset(dataset);
  const title = `Add pictures to ${dataset}`;
  const { files, everyS } = chosen;
  const upload = () =>
    void send((onShare) => uploadPictures(dataset, { categories: [], everyS, files }, onShare)).then(refresh);
  if (step.kind === "done") return <Done title={title} addition={step.answer} onClose={onClose} />;
  if (step.kind === "sending") {
    return <Sending title={title} share={step.share} count={files.length} onStop={stop} onClose={onClose} />;
  }
  return (
    <UploadForm title={title} chosen={chosen} error={step.error} onUpload={upload} onClose={onClose}>
      <p>
        They come in a new version, with all edits. Pictures that are in the dataset already are left out; those without
        a split get one, in the shares that the dataset has now.
      </p>
    </UploadForm>
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
