/** Files of what was made, as text: curves and reports that pages show in their own way. A file never changes. */
import { useQuery } from "@tanstack/react-query";
import { toApiError, UNREACHABLE } from "./client";

export function useTextFile(url: string | null) {
  return useQuery({
    queryKey: ["file", url],
    queryFn: async ({ signal }) => {
      const response = await fetch(url ?? "", { signal, credentials: "same-origin" }).catch(() => {
        throw new Error(UNREACHABLE);
      });
      if (!response.ok) throw toApiError(response.status, await response.json().catch(() => null));
      return response.text();
    },
    enabled: url !== null,
    staleTime: Number.POSITIVE_INFINITY,
  });
}
