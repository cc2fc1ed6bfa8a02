import { useState } from "react";
import { useChangeUser, useUsers } from "../../api/people";
import type { Role, User } from "../../api/types";
import { Button } from "../../ui/button";
import { Select } from "../../ui/field";
import { ErrorNotice } from "../../ui/notice";
import { Card } from "../../ui/page";
import { Pill } from "../../ui/pill";
import { Skeleton } from "../../ui/skeleton";
import table from "../../ui/table.module.css";
import { ROLES } from "./roles";
import styles from "./settings.module.css";
import { AddUserDialog, PasswordDialog } from "./user-dialogs";

/** Who may sign in, and what they may do, for admins. */
export function UsersCard() {
  const users = useUsers();
  const [adding, setAdding] = useState(false);
  const found = users.data?.users ?? [];
  return (
    <Card
      title="Users"
      actions={
        <Button icon="add" onClick={() => setAdding(true)}>
          Add user
        </Button>
      }
    >
      {users.error && <ErrorNotice error={users.error} />}
      {users.isPending && <Skeleton label="Loading users" count={2} className={styles.placeholder ?? ""} />}
      {users.isSuccess && found.length === 0 && (
        <p className={styles.note}>
          Nobody but you comes in yet. Add users, who sign in by name and password; what they do is kept under their
          name.
        </p>
      )}
      {found.length > 0 && (
        <div className={table.wrap}>
          <table className={table.table}>
            <thead>
              <tr>
                <th scope="col">User</th>
                <th scope="col">Role</th>
                <th scope="col">State</th>
                <th scope="col">
                  <span className="visually-hidden">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {found.map((user) => (
                <UserRow key={user.id} user={user} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {adding && <AddUserDialog onClose={() => setAdding(false)} />}
    </Card>
  );
}

function UserRow({ user }: { user: User }) {
  const change = useChangeUser(user.id);
  const [resetting, setResetting] = useState(false);
  return (
    <tr>
      <th scope="row">
        {user.name}
        {change.error && (
          <div className={table.detail}>
            <ErrorNotice error={change.error} />
          </div>
        )}
      </th>
      <td>
        <Select
          label={`Role of ${user.name}`}
          value={user.role}
          disabled={change.isPending}
          onChange={(event) => change.mutate({ role: event.target.value as Role })}
        >
          {ROLES.map(({ role }) => (
            <option key={role}>{role}</option>
          ))}
        </Select>
      </td>
      <td>
        <State user={user} />
      </td>
      <td className={table.number}>
        <Button kind="quiet" aria-label={`New password for ${user.name}`} onClick={() => setResetting(true)}>
          New password
        </Button>
        <Button
          kind="quiet"
          busy={change.isPending}
          aria-label={`${user.disabled ? "Enable" : "Disable"} ${user.name}`}
          onClick={() => change.mutate({ disabled: !user.disabled })}
        >
          {user.disabled ? "Enable" : "Disable"}
        </Button>
        {resetting && <PasswordDialog user={user} onClose={() => setResetting(false)} />}
      </td>
    </tr>
  );
}

function State({ user }: { user: User }) {
  if (user.disabled) return <Pill>disabled</Pill>;
  return user.has_password ? <Pill tone="good">may sign in</Pill> : <Pill>no password</Pill>;
}
