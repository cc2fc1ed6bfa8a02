import { CommandLine } from "../../ui/command-line";
import { EmptyState } from "../../ui/empty-state";
import { Frame } from "../../ui/frame";

/** The browser holds no sign-in of the server that runs now: its link gives one. */
export function SignedOutPage() {
  return (
    <Frame title="Sign in">
      <EmptyState icon="open" title="Open the link again">
        <p>
          Each start of the server prints a link in its terminal that signs this browser in. Open that link again; edits
          that were not saved yet wait in this browser and are sent then. If the server no longer runs:
        </p>
        <br />
        <CommandLine command="sightline up" />
      </EmptyState>
    </Frame>
  );
}
