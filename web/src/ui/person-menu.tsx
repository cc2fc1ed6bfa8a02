import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { useSession } from "../api/hooks";
import { signOut } from "../api/people";
import { countWaitingEdits } from "../editor/outbox";
import { Button } from "./button";
import { Dialog } from "./dialog";
import { countOf } from "./format";
import { ErrorNotice } from "./notice";
import styles from "./person-menu.module.css";

/** Who is signed in, which leads to their settings, and the way out. */
export function PersonMenu() {
  const session = useSession().data;
  const [waiting, setWaiting] = useState(0);
  const leaving = useMutation({ mutationFn: signOut });
  if (!session) return null;
  const leave = () => {
    const edits = countWaitingEdits(window.localStorage);
    if (edits > 0) setWaiting(edits);
    else leaving.mutate();
  };
  return (
    <div className={styles.person}>
      <Link to="/settings" className={styles.name} title={`Settings; edits are kept under the name ${session.author}`}>
        {session.author}
      </Link>
      <Button kind="quiet" busy={leaving.isPending} onClick={leave}>
        Sign out
      </Button>
      {(waiting > 0 || leaving.error) && (
        <Dialog
          title="Sign out?"
          onClose={() => {
            setWaiting(0);
            leaving.reset();
          }}
          actions={
            <Button kind="danger" busy={leaving.isPending} onClick={() => leaving.mutate()}>
              Sign out all the same
            </Button>
          }
        >
          {waiting > 0 && (
            <p>
              {countOf(waiting, "edit")} not saved yet: whoever signs in next in this browser sends them, under their
              own name. Wait until all is saved.
            </p>
          )}
          {leaving.error && <ErrorNotice error={leaving.error} />}
        </Dialog>
      )}
    </div>
  );
}
