import { useCallback, useMemo, useState } from "react";
import { useParams, useSearchParams } from "react-router";
import { ApiError } from "../../api/client";
import { type ItemFilter, useDataset, useItems, useReadAll, useVideos } from "../../api/hooks";
import { useMay } from "../../api/people";
import { Button } from "../../ui/button";
import { EmptyState } from "../../ui/empty-state";
import { ForRole } from "../../ui/for-role";
import { Frame } from "../../ui/frame";
import { ErrorNotice } from "../../ui/notice";
import { PageDrop } from "../../ui/page-drop";
import { Skeleton } from "../../ui/skeleton";
import { readDropped } from "../datasets/dropped-files";
import { RemoveThing } from "../removing/remove-thing";
import { NotFoundPage } from "../session/not-found";
import { AddPictures } from "./add-pictures";
import { CategoriesPanel } from "./categories-panel";
import { isFiltering, readFilter, writeFilter } from "./filter";
import { Filters } from "./filters";
import { GalleryHead } from "./gallery-head";
import styles from "./gallery-page.module.css";
import { Grid } from "./grid";
import { add, NOTHING } from "./selection";
import { SelectionBar } from "./selection-bar";
import { VersionsPanel } from "./versions-panel";

/** The pictures of one dataset, what they are labelled with, and its versions. */
export function GalleryPage() {
  const { name = "" } = useParams();
  const dataset = useDataset(name);
  const mayEdit = useMay("editor");
  const [search, setSearch] = useSearchParams();
  const filter = readFilter(search);
  const items = useItems(name, filter);
  const videos = useVideos(name);
  const loaded = useMemo(() => items.data?.pages.flatMap((page) => page.items) ?? [], [items.data]);
  const total = items.data?.pages[0]?.total ?? 0;
  const [selection, setSelection] = useState(NOTHING);
  const [adding, setAdding] = useState<readonly File[] | null>(null);
  const readAll = useReadAll(name, filter);
  const chooseAll = () => readAll.mutate(undefined, { onSuccess: (all) => setSelection((before) => add(before, all)) });
  const clear = () => setSelection(NOTHING);
  const onDrop = useCallback(async ({ items }: DataTransfer) => setAdding(await readDropped(items)), []);
  const changeFilter = (next: ItemFilter) => {
    clear(); // what is chosen is in sight, or at least among what is shown
    setSearch(writeFilter(next), { replace: true });
  };
  const retry = () => Promise.all([dataset.refetch(), items.refetch()]);
  const error = dataset.error ?? items.error;
  if (dataset.error instanceof ApiError && dataset.error.status === 404) {
    return <NotFoundPage title="There is no such dataset" reason={dataset.error.message} />;
  }
  return (
    <Frame title={name}>
      <div className={styles.page}>
        <div className={styles.content}>
          {dataset.data && <GalleryHead dataset={dataset.data} filter={filter} onAdd={() => setAdding([])} />}
          <Filters
            filter={filter}
            dataset={dataset.data}
            videos={videos.data ?? []}
            total={items.data ? total : null}
            onChange={changeFilter}
          />
          {dataset.data && selection.chosen.size > 0 && (
            <SelectionBar
              dataset={dataset.data}
              selection={selection}
              total={total}
              isReading={readAll.isPending}
              onChooseAll={chooseAll}
              onClear={clear}
            />
          )}
          {readAll.error && <ErrorNotice error={readAll.error} />}
          {error && <ErrorNotice error={error} action={<Button onClick={retry}>Try again</Button>} />}
          {items.isPending && !error && (
            <div className={styles.loading}>
              <Skeleton label="Loading pictures" count={18} className={styles.placeholder ?? ""} />
            </div>
          )}
          {items.isSuccess && total === 0 && <NothingFound filter={filter} onClear={() => changeFilter({})} />}
          {loaded.length > 0 && (
            <Grid
              key={search.toString()}
              dataset={name}
              items={loaded}
              total={total}
              search={writeFilter(filter).toString()}
              selection={selection}
              canChoose={mayEdit}
              onSelect={setSelection}
              onChooseAll={chooseAll}
              onNearEnd={() => items.hasNextPage && !items.isFetchingNextPage && items.fetchNextPage()}
            />
          )}
        </div>
        {dataset.data && (
          <aside className={styles.side} aria-label="Categories and versions">
            <CategoriesPanel dataset={dataset.data} />
            <VersionsPanel dataset={dataset.data} />
            <RemoveThing thing={{ shelf: "datasets", name }} noun="dataset" list="/" />
          </aside>
        )}
      </div>
      <ForRole least="editor">
        <PageDrop onDrop={onDrop}>Drop to add to {name}</PageDrop>
      </ForRole>
      {adding && <AddPictures dataset={name} dropped={adding} onClose={() => setAdding(null)} />}
    </Frame>
  );
}

function NothingFound({ filter, onClear }: { filter: ItemFilter; onClear: () => void }) {
  if (!isFiltering(filter)) return <EmptyState icon="image" title="This dataset holds no pictures" />;
  return (
    <EmptyState
      icon="search"
      title="No picture matches"
      actions={
        <Button kind="primary" onClick={onClear}>
          Show all pictures
        </Button>
      }
    >
      <p>Change the filter, or show all pictures again.</p>
    </EmptyState>
  );
}
