import { type FormEvent, useState } from "react";
import { useChangePassword } from "../../api/people";
import { Button } from "../../ui/button";
import { TextField } from "../../ui/field";
import { ErrorNotice, Notice } from "../../ui/notice";
import { Card } from "../../ui/page";
import { LONGEST_PASSWORD, SHORTEST_PASSWORD } from "./passwords";
import styles from "./settings.module.css";

/** Changes one's own password. */
export function PasswordCard() {
  const [present, setPresent] = useState("");
  const [wanted, setWanted] = useState("");
  const change = useChangePassword();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    change.mutate(
      { present, wanted },
      {
        onSuccess: () => {
          setPresent("");
          setWanted("");
        },
      },
    );
  };
  return (
    <Card title="Password">
      <form className={styles.form} onSubmit={submit}>
        <TextField
          label="Present password"
          type="password"
          autoComplete="current-password"
          maxLength={LONGEST_PASSWORD}
          required
          value={present}
          onChange={(event) => setPresent(event.target.value)}
        />
        <TextField
          label="New password"
          type="password"
          autoComplete="new-password"
          minLength={SHORTEST_PASSWORD}
          maxLength={LONGEST_PASSWORD}
          required
          hint={`At least ${SHORTEST_PASSWORD} characters. Where you are signed in elsewhere, you are signed out.`}
          value={wanted}
          onChange={(event) => setWanted(event.target.value)}
        />
        {change.error && <ErrorNotice error={change.error} />}
        {change.isSuccess && <Notice kind="good">Your password is changed.</Notice>}
        <Button type="submit" busy={change.isPending} disabled={!present || !wanted}>
          Change password
        </Button>
      </form>
    </Card>
  );
}
