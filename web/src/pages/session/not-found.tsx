import { Link } from "react-router";
import { buttonClass } from "../../ui/button";
import { EmptyState } from "../../ui/empty-state";
import { Frame } from "../../ui/frame";

/** An address that no page has. */
export function NotFoundPage() {
  return (
    <Frame title="Not found">
      <EmptyState
        icon="search"
        title="There is no such page"
        actions={
          <Link to="/" className={buttonClass("primary")}>
            Go to the datasets
          </Link>
        }
      >
        <p>The address is misspelt, or what it named is gone.</p>
      </EmptyState>
    </Frame>
  );
}
