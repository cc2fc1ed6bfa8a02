import { useState } from "react";
import { useNavigate } from "react-router";
import { useSession } from "../../api/hooks";
import { type Removable, useDependents, useRemoveThing } from "../../api/removing";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { countOf } from "../../ui/format";
import { ErrorNotice } from "../../ui/notice";
import styles from "./remove-thing.module.css";

type Props = {
  thing: Removable;
  /** "model", and where the list of all of them is. */
  noun: string;
  list: string;
};

/** Removes a whole dataset, model, artifact or report; admins may. */
export function RemoveThing({ thing, noun, list }: Props) {
  const [asking, setAsking] = useState(false);
  const session = useSession();
  if (session.data?.role !== "admin") return null;
  return (
    <>
      <Button kind="quiet" icon="remove" onClick={() => setAsking(true)}>
        Remove {noun}
      </Button>
      {asking && <Asking thing={thing} noun={noun} list={list} onClose={() => setAsking(false)} />}
    </>
  );
}

function Asking({ thing, noun, list, onClose }: Props & { onClose: () => void }) {
  const navigate = useNavigate();
  const dependents = useDependents(thing);
  const remove = useRemoveThing(thing);
  const rest = dependents.data ?? [];
  return (
    <Dialog
      title={`Remove the ${noun} ${thing.name}?`}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button
            kind="danger"
            icon="remove"
            busy={remove.isPending}
            disabled={dependents.isPending}
            onClick={() => remove.mutate(undefined, { onSuccess: () => navigate(list) })}
          >
            Remove
          </Button>
        </>
      }
    >
      <p>
        It moves to the folder <code>trash</code> of the workspace, from where it can be moved back
        {thing.shelf === "datasets" && ", with all its versions and edits"}.
      </p>
      {rest.length > 0 && (
        <>
          <p>{countOf(rest.length, "thing")} made of it will stay and work on:</p>
          <ul className={styles.rest}>
            {rest.map((one) => (
              <li key={one}>
                <code>{one}</code>
              </li>
            ))}
          </ul>
        </>
      )}
      {(remove.error ?? dependents.error) && <ErrorNotice error={remove.error ?? dependents.error} />}
    </Dialog>
  );
}
