import { type FormEvent, useId, useState } from "react";
import { useAddUser, useChangeUser } from "../../api/people";
import type { Role, User } from "../../api/types";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { NameField, TextField } from "../../ui/field";
import { ErrorNotice } from "../../ui/notice";
import { SelectField } from "../../ui/select-field";
import { LONGEST_PASSWORD, SHORTEST_PASSWORD } from "./passwords";
import { ROLES } from "./roles";
import styles from "./settings.module.css";

/** Makes a user. */
export function AddUserDialog({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("editor");
  const [password, setPassword] = useState("");
  const add = useAddUser();
  const form = useId();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    add.mutate({ name: name.trim(), role, password }, { onSuccess: onClose });
  };
  return (
    <Dialog
      title="Add user"
      onClose={onClose}
      actions={
        <Actions form={form} busy={add.isPending} onClose={onClose}>
          Add user
        </Actions>
      }
    >
      <form id={form} className={styles.form} onSubmit={submit}>
        <NameField
          label="Name"
          required
          hint="Kept with everything that they label and run."
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        <SelectField
          label="Role"
          hint={ROLES.find((known) => known.role === role)?.may}
          value={role}
          onChange={(event) => setRole(event.target.value as Role)}
        >
          {ROLES.map((known) => (
            <option key={known.role}>{known.role}</option>
          ))}
        </SelectField>
        <NewPassword value={password} onChange={setPassword} />
        {add.error && <ErrorNotice error={add.error} />}
      </form>
    </Dialog>
  );
}

/** Gives a user a new password. */
export function PasswordDialog({ user, onClose }: { user: User; onClose: () => void }) {
  const [password, setPassword] = useState("");
  const change = useChangeUser(user.id);
  const form = useId();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    change.mutate({ password }, { onSuccess: onClose });
  };
  return (
    <Dialog
      title={`New password for ${user.name}`}
      onClose={onClose}
      actions={
        <Actions form={form} busy={change.isPending} onClose={onClose}>
          Set password
        </Actions>
      }
    >
      <form id={form} className={styles.form} onSubmit={submit}>
        <p className={styles.note}>Wherever {user.name} is signed in, they are signed out. Their API keys stay.</p>
        <NewPassword value={password} onChange={setPassword} />
        {change.error && <ErrorNotice error={change.error} />}
      </form>
    </Dialog>
  );
}

function NewPassword({ value, onChange }: { value: string; onChange: (password: string) => void }) {
  return (
    <TextField
      label="Password"
      type="password"
      autoComplete="new-password"
      required
      minLength={SHORTEST_PASSWORD}
      maxLength={LONGEST_PASSWORD}
      hint={`At least ${SHORTEST_PASSWORD} characters; tell it to them, and they can change it here.`}
      value={value}
      onChange={(event) => onChange(event.target.value)}
    />
  );
}

type ActionsProps = { form: string; busy: boolean; onClose: () => void; children: string };

function Actions({ form, busy, onClose, children }: ActionsProps) {
  return (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button kind="primary" type="submit" form={form} busy={busy}>
        {children}
      </Button>
    </>
  );
}
