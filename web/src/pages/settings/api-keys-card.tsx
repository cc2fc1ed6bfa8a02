import { type FormEvent, useState } from "react";
import { useAddApiKey, useApiKeys, useRemoveApiKey } from "../../api/people";
import type { ApiKey } from "../../api/types";
import { Button } from "../../ui/button";
import { CommandLine } from "../../ui/command-line";
import { NameField } from "../../ui/field";
import { ErrorNotice, Notice } from "../../ui/notice";
import { Card } from "../../ui/page";
import { Skeleton } from "../../ui/skeleton";
import table from "../../ui/table.module.css";
import { formatAgo } from "../../ui/time";
import styles from "./settings.module.css";

/** The keys of one's programs: made, shown once, removed. */
export function ApiKeysCard() {
  const keys = useApiKeys();
  const remove = useRemoveApiKey();
  const found = keys.data?.keys ?? [];
  return (
    <Card title="API keys">
      <p className={styles.note}>
        A program that shows a key as <code>Authorization: Bearer KEY</code> may do what you may.
      </p>
      {keys.error && <ErrorNotice error={keys.error} />}
      {keys.isPending && <Skeleton label="Loading keys" count={2} className={styles.placeholder ?? ""} />}
      {found.length > 0 && (
        <div className={table.wrap}>
          <table className={table.table}>
            <thead>
              <tr>
                <th scope="col">Key</th>
                <th scope="col">Made</th>
                <th scope="col">Last used</th>
                <th scope="col">
                  <span className="visually-hidden">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {found.map((key) => (
                <KeyRow key={key.id} apiKey={key} busy={remove.isPending} onRemove={() => remove.mutate(key.id)} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {remove.error && <ErrorNotice error={remove.error} />}
      <NewKey />
    </Card>
  );
}

type RowProps = { apiKey: ApiKey; busy: boolean; onRemove: () => void };

function KeyRow({ apiKey, busy, onRemove }: RowProps) {
  const now = Date.now();
  return (
    <tr>
      <th scope="row">{apiKey.name}</th>
      <td className={table.soft}>{formatAgo(apiKey.made_at, now)}</td>
      <td className={table.soft}>{apiKey.used_at ? formatAgo(apiKey.used_at, now) : "never"}</td>
      <td className={table.number}>
        <Button
          kind="quiet"
          icon="remove"
          disabled={busy}
          aria-label={`Remove the key ${apiKey.name}`}
          onClick={onRemove}
        >
          Remove
        </Button>
      </td>
    </tr>
  );
}

/** Makes a key, whose text is shown here and never again. */
function NewKey() {
  const [name, setName] = useState("");
  const add = useAddApiKey();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    add.mutate(name.trim(), { onSuccess: () => setName("") });
  };
  return (
    <>
      {add.data && (
        <Notice kind="good">
          The key “{add.data.name}” is shown this once. Copy it now: it is kept nowhere.
          <CommandLine command={add.data.text} what="the key" />
        </Notice>
      )}
      {add.error && <ErrorNotice error={add.error} />}
      <form className={styles.add} onSubmit={submit}>
        <NameField
          label="Name of a new key"
          placeholder="what it is for"
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        <Button type="submit" busy={add.isPending} disabled={!name.trim()}>
          Make key
        </Button>
      </form>
    </>
  );
}
