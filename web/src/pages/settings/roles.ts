/** The roles, and what each may do, in words. */
import type { Role } from "../../api/types";

export const ROLES: readonly { readonly role: Role; readonly may: string }[] = [
  { role: "viewer", may: "Sees everything and tries pictures on models." },
  { role: "editor", may: "Also labels, makes datasets and runs jobs." },
  { role: "admin", may: "Also makes users, and removes whole datasets and models." },
];
