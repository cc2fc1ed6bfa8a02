import type { ReactNode } from "react";
import { useMay } from "../api/people";
import type { Role } from "../api/types";

/** What only those see who may use it. The server asks for the role, too. */
export function ForRole({ least, children }: { least: Role; children: ReactNode }) {
  return useMay(least) && children;
}
