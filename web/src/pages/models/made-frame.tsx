import type { ReactNode } from "react";
import { Link } from "react-router";
import { useSession } from "../../api/hooks";
import { Button, buttonClass } from "../../ui/button";
import { EmptyState } from "../../ui/empty-state";
import { Frame } from "../../ui/frame";
import { ErrorNotice } from "../../ui/notice";
import { Page } from "../../ui/page";
import { Skeleton } from "../../ui/skeleton";
import styles from "./made-frame.module.css";

type Props<T> = {
  /** "model", and where the list of all of them is. */
  noun: string;
  list: string;
  name: string;
  found: T | undefined;
  query: { readonly isPending: boolean; readonly error: Error | null; readonly refetch: () => unknown };
  children: (found: T) => ReactNode;
};

/** The page of one thing that was made: while it is looked for, when it is gone, and its content. */
export function MadeFrame<T>({ noun, list, name, found, query, children }: Props<T>) {
  const session = useSession();
  return (
    <Frame title={name} author={session.data?.author}>
      <Page>
        <p className={styles.back}>
          <Link to={list}>All {noun}s</Link>
        </p>
        {query.error && !found && (
          <ErrorNotice error={query.error} action={<Button onClick={() => query.refetch()}>Try again</Button>} />
        )}
        {query.isPending && !query.error && (
          <Skeleton label={`Loading the ${noun}`} count={3} className={styles.placeholder ?? ""} />
        )}
        {!query.isPending && !query.error && found === undefined && (
          <EmptyState
            icon="search"
            title={`There is no ${noun} ${name} here`}
            actions={
              <Link className={buttonClass("primary")} to={list}>
                All {noun}s
              </Link>
            }
          >
            <p>It was removed, or the address is misspelt.</p>
          </EmptyState>
        )}
        {found !== undefined && children(found)}
      </Page>
    </Frame>
  );
}
