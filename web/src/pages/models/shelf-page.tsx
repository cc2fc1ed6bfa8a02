import type { ReactNode } from "react";
import { Link, useLocation } from "react-router";
import { useArtifacts, useDeployments, useModels, useReports } from "../../api/shelves";
import { Button } from "../../ui/button";
import { Frame } from "../../ui/frame";
import { ErrorNotice, Notice } from "../../ui/notice";
import { Page, PageHead } from "../../ui/page";
import { Skeleton } from "../../ui/skeleton";
import table from "../../ui/table.module.css";
import styles from "./shelf-page.module.css";

type ShelfQuery = {
  readonly data: { readonly broken: Readonly<Record<string, string>> } | undefined;
  readonly error: Error | null;
  readonly isPending: boolean;
  readonly refetch: () => unknown;
};

type Props = {
  title: string;
  note: string;
  query: ShelfQuery;
  columns: readonly Column[];
  /** The table's rows. */
  rows: readonly ReactNode[];
  /** What stands there without any. */
  empty: ReactNode;
};

export type Column = { readonly name: string; readonly isNumber?: boolean };

/** A list of what was made, with the ways to the other lists. */
export function ShelfPage({ title, note, query, columns, rows, empty }: Props) {
  return (
    <Frame title={title}>
      <Page>
        <Tabs />
        <PageHead title={title} note={note} />
        {query.error && (
          <ErrorNotice error={query.error} action={<Button onClick={() => query.refetch()}>Try again</Button>} />
        )}
        {Object.entries(query.data?.broken ?? {}).map(([name, reason]) => (
          <Notice key={name} kind="warning">
            <b>{name}</b> cannot be read: {reason}
          </Notice>
        ))}
        {query.isPending && !query.error && (
          <Skeleton label={`Loading ${title.toLowerCase()}`} count={3} className={styles.placeholder ?? ""} />
        )}
        {query.data && (rows.length > 0 ? <MadeTable columns={columns}>{rows}</MadeTable> : empty)}
      </Page>
    </Frame>
  );
}

function Tabs() {
  const { pathname } = useLocation();
  const tabs = [
    ["Models", "/models", useModels().data?.models.length],
    ["Artifacts", "/artifacts", useArtifacts().data?.artifacts.length],
    ["Deployments", "/deployments", useDeployments().data?.deployments.length],
    ["Reports", "/reports", useReports().data?.reports.length],
  ] as const;
  return (
    <nav aria-label="What was made">
      <ul className={styles.tabs}>
        {tabs.map(([name, path, count]) => (
          <li key={path}>
            <Link to={path} aria-current={pathname === path ? "page" : undefined}>
              {name}
              {count !== undefined && <span className={styles.count}>{count}</span>}
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  );
}

/** A table whose columns of numbers stand to the right. */
export function MadeTable({ columns, children }: { columns: readonly Column[]; children: ReactNode }) {
  return (
    <div className={table.wrap}>
      <table className={table.table}>
        <thead>
          <tr>
            {columns.map(({ name, isNumber }) => (
              <th key={name} scope="col" className={isNumber ? table.number : undefined}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
