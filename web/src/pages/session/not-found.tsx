import { Link } from "react-router";
import { buttonClass } from "../../ui/button";
import { EmptyState } from "../../ui/empty-state";
import { Frame } from "../../ui/frame";

type Props = { title?: string; reason?: string };

/** An address that no page has, or whose dataset is gone. */
export function NotFoundPage({ title = "There is no such page", reason }: Props) {
  return (
    <Frame title="Not found">
      <EmptyState
        icon="search"
        title={title}
        actions={
          <Link to="/" className={buttonClass("primary")}>
            Go to the datasets
          </Link>
        }
      >
        <p>{reason ?? "The address is misspelt, or what it named is gone."}</p>
      </EmptyState>
    </Frame>
  );
}
