import { useState } from "react";
import { useDatasets } from "../../api/hooks";
import { Button } from "../../ui/button";
import { ForRole } from "../../ui/for-role";
import { countOf } from "../../ui/format";
import { Frame } from "../../ui/frame";
import { ErrorNotice, Notice } from "../../ui/notice";
import { Page, PageHead } from "../../ui/page";
import { Skeleton } from "../../ui/skeleton";
import { CreateDataset } from "./create-dataset";
import { DatasetCard } from "./dataset-card";
import styles from "./datasets-page.module.css";
import { Welcome } from "./welcome";

/** Every dataset of the workspace, and how to make one. */
export function DatasetsPage() {
  const datasets = useDatasets();
  const [creating, setCreating] = useState(false);
  const found = datasets.data?.datasets ?? [];
  const broken = Object.entries(datasets.data?.broken ?? {});
  const isEmpty = datasets.isSuccess && found.length === 0 && broken.length === 0;
  return (
    <Frame title="Datasets">
      <Page>
        {!isEmpty && (
          <PageHead
            title="Datasets"
            note={datasets.data ? countOf(found.length, "dataset") : "\u00a0"}
            actions={
              <ForRole least="editor">
                <Button kind="primary" icon="add" onClick={() => setCreating(true)}>
                  New dataset
                </Button>
              </ForRole>
            }
          />
        )}
        {datasets.error && (
          <ErrorNotice error={datasets.error} action={<Button onClick={() => datasets.refetch()}>Try again</Button>} />
        )}
        {broken.map(([name, reason]) => (
          <Notice key={name} kind="warning">
            <b>{name}</b> cannot be opened: {reason}
          </Notice>
        ))}
        {isEmpty && <Welcome onCreate={() => setCreating(true)} />}
        <ul className={styles.cards}>
          {datasets.isPending && <Skeleton label="Loading datasets" count={3} className={styles.placeholder ?? ""} />}
          {found.map((dataset) => (
            <DatasetCard key={dataset.name} dataset={dataset} />
          ))}
        </ul>
      </Page>
      {creating && <CreateDataset taken={found.map(({ name }) => name)} onClose={() => setCreating(false)} />}
    </Frame>
  );
}
