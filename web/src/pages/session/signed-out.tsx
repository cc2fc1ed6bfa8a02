import { useState } from "react";
import { CommandLine } from "../../ui/command-line";
import { Dialog } from "../../ui/dialog";
import { EmptyState } from "../../ui/empty-state";
import { Frame } from "../../ui/frame";
import { Notice } from "../../ui/notice";
import styles from "./signed-out.module.css";

/** The browser holds no sign-in of the server that runs now: its link gives one. */
export function SignedOutPage() {
  return (
    <Frame title="Sign in">
      <EmptyState icon="open" title="Open the link again">
        <Words />
      </EmptyState>
    </Frame>
  );
}

/** The same above a page that was open when the sign-in was lost. It goes by itself when the link was opened. */
export function SignedOutDialog() {
  const [isRead, setRead] = useState(false);
  if (isRead) {
    return (
      <div className={styles.reminder}>
        <Notice kind="warning">
          Not signed in: open the link that <code>sightline up</code> printed, or{" "}
          <a href="/sign-in" target="_blank" rel="noreferrer">
            sign in
          </a>
          .
        </Notice>
      </div>
    );
  }
  return (
    <Dialog title="Open the link again" onClose={() => setRead(true)}>
      <Words />
    </Dialog>
  );
}

function Words() {
  return (
    <div className={styles.words}>
      <p>
        The server was started again, or your sign-in has ended. Users{" "}
        <a href="/sign-in" target="_blank" rel="noreferrer">
          sign in by name
        </a>
        ; whoever started the server opens the link that it printed in its terminal. Do so in another tab, and this page
        goes on by itself. Edits that are not saved yet wait in this browser. If the server no longer runs, start it:
      </p>
      <CommandLine command="sightline up" />
    </div>
  );
}
