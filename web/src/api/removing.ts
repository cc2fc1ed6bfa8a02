/** Removing whole datasets, models, artifacts and reports. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { answer, api } from "./client";

export type Removable =
  | { readonly shelf: "datasets"; readonly name: string }
  | { readonly shelf: "models" | "artifacts" | "reports"; readonly name: string; readonly id: string };

/** What was made of something, as `SHELF/NAME@ID`. */
export function useDependents(thing: Removable) {
  return useQuery({
    queryKey: ["dependents", thing],
    queryFn: async () => {
      const { name } = thing;
      const { dependents } = await (thing.shelf === "datasets"
        ? answer(api.GET("/v1/datasets/{name}/dependents", { params: { path: { name } } }))
        : answer(
            api.GET("/v1/{shelf}/{name}/{thing_id}/dependents", {
              params: { path: { shelf: thing.shelf, name, thing_id: thing.id } },
            }),
          ));
      return dependents;
    },
  });
}

/** Afterwards every list is old, as each may name what is gone; the page of it, which is about to be left, asks no more. */
export function useRemoveThing(thing: Removable) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => {
      const { name } = thing;
      return thing.shelf === "datasets"
        ? answer(api.DELETE("/v1/datasets/{name}", { params: { path: { name } } }))
        : answer(
            api.DELETE("/v1/{shelf}/{name}/{thing_id}", {
              params: { path: { shelf: thing.shelf, name, thing_id: thing.id } },
            }),
          );
    },
    onSuccess: () => void client.invalidateQueries({ refetchType: "none" }),
  });
}
