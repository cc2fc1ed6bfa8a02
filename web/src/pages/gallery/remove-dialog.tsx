import { useRemoveItems } from "../../api/hooks";
import type { DatasetSummary } from "../../api/types";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { countOf } from "../../ui/format";
import { ErrorNotice } from "../../ui/notice";
import { Progress } from "../../ui/progress";
import type { Picture } from "./selection";

type Props = {
  dataset: DatasetSummary;
  pictures: readonly Picture[];
  onRemoved: () => void;
  onClose: () => void;
};

/** Says what removing means, and does it. */
export function RemoveDialog({ dataset, pictures, onRemoved, onClose }: Props) {
  const remove = useRemoveItems(dataset.name);
  const send = () =>
    remove.mutate(pictures, {
      onSuccess: () => {
        onClose();
        onRemoved();
      },
    });
  return (
    <Dialog
      title={`Remove ${countOf(pictures.length, "picture")}?`}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="danger" icon="remove" busy={remove.isPending} onClick={send}>
            Remove
          </Button>
        </>
      }
    >
      <p>
        {dataset.name} goes on without them, in a new version
        {dataset.unfrozen_edits > 0 &&
          ` that also holds ${countOf(dataset.unfrozen_edits, "edit")} made since the last one`}
        . Earlier versions keep them with their labels: from the list of versions you can go back.
      </p>
      {remove.isPending && <Progress label="Removing" value={null} />}
      {remove.error && <ErrorNotice error={remove.error} />}
    </Dialog>
  );
}
