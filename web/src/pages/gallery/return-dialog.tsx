import { useReturnTo } from "../../api/hooks";
import type { DatasetSummary, Version } from "../../api/types";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { countOf, shortId } from "../../ui/format";
import { ErrorNotice } from "../../ui/notice";

type Props = { dataset: DatasetSummary; version: Version; onClose: () => void };

/** Says what going back to an earlier version means, and does it. */
export function ReturnDialog({ dataset, version, onClose }: Props) {
  const back = useReturnTo(dataset.name);
  const waiting = dataset.unfrozen_edits;
  return (
    <Dialog
      title={`Go on from ${shortId(version.id)}?`}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>{waiting > 0 ? "Close" : "Cancel"}</Button>
          {waiting === 0 && (
            <Button
              kind="primary"
              busy={back.isPending}
              onClick={() => back.mutate(version.id, { onSuccess: onClose })}
            >
              Make present
            </Button>
          )}
        </>
      }
    >
      {waiting > 0 ? (
        <p>{countOf(waiting, "edit")} since the present version would be left behind: freeze a version first.</p>
      ) : (
        <p>
          {dataset.name} then has the {countOf(version.item_count, "picture")} and the labels of this version. Versions
          made since stay in the list, and you can go back to them in the same way.
        </p>
      )}
      {back.error && <ErrorNotice error={back.error} />}
    </Dialog>
  );
}
