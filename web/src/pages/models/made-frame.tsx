import type { ReactNode } from "react";
import { Link } from "react-router";
import type { Removable } from "../../api/removing";
import { Button, buttonClass } from "../../ui/button";
import { EmptyState } from "../../ui/empty-state";
import { Frame } from "../../ui/frame";
import { ErrorNotice } from "../../ui/notice";
import { Page } from "../../ui/page";
import { Skeleton } from "../../ui/skeleton";
import { RemoveThing } from "../removing/remove-thing";
import styles from "./made-frame.module.css";

type Props<T> = {
  /** "model", and where the list of all of them is. */
  noun: string;
  list: string;
  name: string;
  found: T | undefined;
  /** Where it can be removed from; a deployment is ended in another way. */
  removable?: Removable;
  query: { readonly isPending: boolean; readonly error: Error | null; readonly refetch: () => unknown };
  children: (found: T) => ReactNode;
};

/** The page of one thing that was made: while it is looked for, when it is gone, and its content. */
export function MadeFrame<T>({ noun, list, name, found, removable, query, children }: Props<T>) {
  return (
    <Frame title={name}>
      <Page>
        <div className={styles.top}>
          <Link className={styles.back} to={list}>
            All {noun}s
          </Link>
          {found !== undefined && removable && <RemoveThing thing={removable} noun={noun} list={list} />}
        </div>
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
