/** Who asks, what they may do, and what admins know of others. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { ApiError, answer, api, UNREACHABLE } from "./client";
import { useSession } from "./hooks";
import type { NewUser, Role, UserChange } from "./types";

const RANKS: Record<Role, number> = { viewer: 0, editor: 1, admin: 2 };
const USERS = ["users"] as const;
const KEYS = ["keys"] as const;

/** Whether who is signed in may do what needs this role; until that is known, they may not. */
export function useMay(role: Role): boolean {
  const own = useSession().data?.role;
  return own !== undefined && RANKS[own] >= RANKS[role];
}

/** Ends what this browser is signed in by, and goes to the page to sign in. */
export async function signOut(): Promise<void> {
  const response = await fetch("/sign-out", { method: "POST", credentials: "same-origin" }).catch(() => {
    throw new ApiError(0, UNREACHABLE);
  });
  if (!response.ok && response.status !== 401) throw new ApiError(response.status, "The server did not sign you out.");
  window.location.assign("/sign-in");
}

export function useChangePassword() {
  return useMutation({
    mutationFn: (body: { present: string; wanted: string }) => answer(api.POST("/v1/password", { body })),
  });
}

export function useApiKeys() {
  return useQuery({ queryKey: KEYS, queryFn: () => answer(api.GET("/v1/keys")) });
}

export function useAddApiKey() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (name: string) => answer(api.POST("/v1/keys", { body: { name } })),
    onSuccess: () => client.invalidateQueries({ queryKey: KEYS }),
  });
}

export function useRemoveApiKey() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: number) => answer(api.DELETE("/v1/keys/{id}", { params: { path: { id } } })),
    onSuccess: (left) => client.setQueryData(KEYS, left),
  });
}

export function useUsers() {
  return useQuery({ queryKey: USERS, queryFn: () => answer(api.GET("/v1/users")) });
}

export function useAddUser() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: NewUser) => answer(api.POST("/v1/users", { body })),
    // The session says whether there are users.
    onSuccess: () =>
      Promise.all([client.invalidateQueries({ queryKey: USERS }), client.invalidateQueries({ queryKey: ["session"] })]),
  });
}

export function useChangeUser(id: number) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (change: Partial<UserChange>) =>
      answer(api.PATCH("/v1/users/{id}", { params: { path: { id } }, body: change })),
    onSuccess: () =>
      Promise.all([client.invalidateQueries({ queryKey: USERS }), client.invalidateQueries({ queryKey: ["session"] })]),
  });
}
