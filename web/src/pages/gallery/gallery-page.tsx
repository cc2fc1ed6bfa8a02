import { useMemo } from "react";
import { useParams, useSearchParams } from "react-router";
import { ApiError } from "../../api/client";
import { type ItemFilter, useDataset, useItems, useSession } from "../../api/hooks";
import { Button } from "../../ui/button";
import { EmptyState } from "../../ui/empty-state";
import { Frame } from "../../ui/frame";
import { ErrorNotice } from "../../ui/notice";
import { Skeleton } from "../../ui/skeleton";
import { NotFoundPage } from "../session/not-found";
import { CategoriesPanel } from "./categories-panel";
import { isFiltering, readFilter, writeFilter } from "./filter";
import { Filters } from "./filters";
import { GalleryHead } from "./gallery-head";
import styles from "./gallery-page.module.css";
import { Grid } from "./grid";
import { VersionsPanel } from "./versions-panel";

/** The pictures of one dataset, what they are labelled with, and its versions. */
export function GalleryPage() {
  const { name = "" } = useParams();
  const session = useSession();
  const dataset = useDataset(name);
  const [search, setSearch] = useSearchParams();
  const filter = readFilter(search);
  const items = useItems(name, filter);
  const loaded = useMemo(() => items.data?.pages.flatMap((page) => page.items) ?? [], [items.data]);
  const total = items.data?.pages[0]?.total ?? 0;
  const changeFilter = (next: ItemFilter) => setSearch(writeFilter(next), { replace: true });
  const retry = () => Promise.all([dataset.refetch(), items.refetch()]);
  const error = dataset.error ?? items.error;
  if (dataset.error instanceof ApiError && dataset.error.status === 404) {
    return <NotFoundPage title="There is no such dataset" reason={dataset.error.message} />;
  }
  return (
    <Frame title={name} author={session.data?.author}>
      <div className={styles.page}>
        <div className={styles.content}>
          {dataset.data && <GalleryHead dataset={dataset.data} filter={filter} />}
          <Filters filter={filter} dataset={dataset.data} total={items.data ? total : null} onChange={changeFilter} />
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
              onNearEnd={() => items.hasNextPage && !items.isFetchingNextPage && items.fetchNextPage()}
            />
          )}
        </div>
        {dataset.data && (
          <aside className={styles.side} aria-label="Categories and versions">
            <CategoriesPanel dataset={dataset.data} />
            <VersionsPanel dataset={dataset.data} />
          </aside>
        )}
      </div>
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
