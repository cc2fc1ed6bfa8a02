/** What pages read from the server and change there, through react-query. */
import {
  keepPreviousData,
  type QueryClient,
  useInfiniteQuery,
  useMutation,
  useQuery,
  useQueryClient,
} from "@tanstack/react-query";
import { ApiError, answer, api } from "./client";
import type { Item, ItemState, Items } from "./types";

/** Which pictures of a dataset; what is absent lets all through. */
export type ItemFilter = {
  state?: ItemState | undefined;
  category?: string | undefined;
  split?: string | undefined;
  search?: string | undefined;
  video?: string | undefined;
};

const PAGE = 200;
const MOST = 1000; // that a page may hold
const SIGN_IN_MS = 2000;
/** Which videos there are changes with versions only, after which they are asked for again, ms. */
const VIDEOS_LAST = 60_000;

export const keys = {
  session: ["session"] as const,
  datasets: ["datasets"] as const,
  dataset: (name: string) => ["dataset", name] as const,
  items: (name: string, filter: ItemFilter) => ["items", name, filter] as const,
  versions: (name: string) => ["versions", name] as const,
  videos: (name: string) => ["videos", name] as const,
  frames: (name: string) => ["frames", name] as const,
};

/** Who is signed in. Without a sign-in it is asked again and again: the link may be opened in another tab. */
export function useSession() {
  return useQuery({
    queryKey: keys.session,
    queryFn: () => answer(api.GET("/v1/session")),
    staleTime: Number.POSITIVE_INFINITY,
    refetchInterval: ({ state }) => (isSignedOut(state.error) ? SIGN_IN_MS : false),
    refetchIntervalInBackground: true,
  });
}

export function isSignedOut(error: Error | null): boolean {
  return error instanceof ApiError && error.status === 401;
}

export function useDatasets() {
  return useQuery({ queryKey: keys.datasets, queryFn: () => answer(api.GET("/v1/datasets")) });
}

export function useDataset(name: string) {
  const path = { name };
  return useQuery({
    queryKey: keys.dataset(name),
    queryFn: () => answer(api.GET("/v1/datasets/{name}", { params: { path } })),
  });
}

/** The words of the request: what lets all through is not sent. */
function toQuery({ state, category, split, search, video }: ItemFilter) {
  return {
    ...(state && { state }),
    ...(category && { category }),
    ...(split && { split }),
    ...(search && { search }),
    ...(video && { video }),
  };
}

/** The pictures that a filter lets through, page by page. */
export function useItems(name: string, filter: ItemFilter) {
  return useInfiniteQuery({
    queryKey: keys.items(name, filter),
    initialPageParam: 0,
    queryFn: ({ pageParam, signal }) => {
      const query = { ...toQuery(filter), cursor: pageParam, limit: PAGE };
      return answer(api.GET("/v1/datasets/{name}/items", { params: { path: { name }, query }, signal }));
    },
    getNextPageParam: (page) => page.next_cursor,
  });
}

/** The first pictures that a filter lets through. */
export function useFirstItems(name: string, filter: ItemFilter, limit: number) {
  return useQuery({
    queryKey: ["items", name, "first", filter, limit],
    queryFn: async () => {
      const query = { ...toQuery(filter), limit };
      const page = await answer(api.GET("/v1/datasets/{name}/items", { params: { path: { name }, query } }));
      return page.items;
    },
  });
}

/** The videos whose frames are in a dataset; none for most. */
export function useVideos(name: string) {
  return useQuery({
    queryKey: keys.videos(name),
    queryFn: async () => (await answer(api.GET("/v1/datasets/{name}/videos", { params: { path: { name } } }))).videos,
    staleTime: VIDEOS_LAST,
  });
}

/** A frame and its neighbours in its video; those of the frame before are shown until they are there. */
export function useFrames(name: string, position: number, around: number, enabled: boolean) {
  const path = { name, position };
  return useQuery({
    queryKey: [...keys.frames(name), position, around],
    queryFn: () =>
      answer(api.GET("/v1/datasets/{name}/items/{position}/frames", { params: { path, query: { around } } })),
    enabled,
    placeholderData: keepPreviousData,
  });
}

export function useVersions(name: string) {
  const path = { name };
  return useQuery({
    queryKey: keys.versions(name),
    queryFn: () => answer(api.GET("/v1/datasets/{name}/versions", { params: { path } })),
  });
}

/** Everything that is known of a dataset is asked for again: something changed it. */
export function refreshDataset(client: QueryClient, name: string) {
  return Promise.all([
    client.invalidateQueries({ queryKey: keys.datasets }),
    client.invalidateQueries({ queryKey: keys.dataset(name) }),
    client.invalidateQueries({ queryKey: ["items", name] }),
    client.invalidateQueries({ queryKey: keys.versions(name) }),
    client.invalidateQueries({ queryKey: keys.videos(name) }),
    client.invalidateQueries({ queryKey: keys.frames(name) }),
  ]);
}

export function useRefreshDataset(name: string) {
  const client = useQueryClient();
  return () => refreshDataset(client, name);
}

export function useFreeze(name: string) {
  const refresh = useRefreshDataset(name);
  return useMutation({
    mutationFn: () => answer(api.POST("/v1/datasets/{name}/versions", { params: { path: { name } } })),
    onSuccess: refresh,
  });
}

export function useAddCategory(name: string) {
  const refresh = useRefreshDataset(name);
  return useMutation({
    mutationFn: (category: string) =>
      answer(api.POST("/v1/datasets/{name}/categories", { params: { path: { name } }, body: { name: category } })),
    onSuccess: refresh,
  });
}

export function useRenameCategory(name: string) {
  const refresh = useRefreshDataset(name);
  return useMutation({
    mutationFn: ({ id, to }: { id: number; to: string }) =>
      answer(api.PATCH("/v1/datasets/{name}/categories/{id}", { params: { path: { name, id } }, body: { name: to } })),
    onSuccess: refresh,
  });
}

export function useRemoveCategory(name: string) {
  const refresh = useRefreshDataset(name);
  return useMutation({
    mutationFn: (id: number) =>
      answer(api.DELETE("/v1/datasets/{name}/categories/{id}", { params: { path: { name, id } } })),
    onSuccess: refresh,
  });
}

/** Pictures by position; `blob` tells the server whether each is still the one that was shown. */
type Pictures = readonly { readonly position: number; readonly blob: string }[];

export function useRemoveItems(name: string) {
  const refresh = useRefreshDataset(name);
  return useMutation({
    mutationFn: (pictures: Pictures) =>
      answer(
        api.POST("/v1/datasets/{name}/items/remove", { params: { path: { name } }, body: { pictures: [...pictures] } }),
      ),
    onSettled: refresh,
  });
}

export function useMoveItems(name: string) {
  const refresh = useRefreshDataset(name);
  return useMutation({
    mutationFn: ({ pictures, split }: { pictures: Pictures; split: string | null }) =>
      answer(
        api.POST("/v1/datasets/{name}/items/move", {
          params: { path: { name } },
          body: { pictures: [...pictures], split },
        }),
      ),
    onSettled: refresh,
  });
}

/** All pictures that a filter lets through, read in large pages. */
export function useReadAll(name: string, filter: ItemFilter) {
  return useMutation({
    mutationFn: async () => {
      const found: Item[] = [];
      for (let cursor: number | null = 0; cursor !== null; ) {
        const query = { ...toQuery(filter), cursor, limit: MOST };
        const page: Items = await answer(api.GET("/v1/datasets/{name}/items", { params: { path: { name }, query } }));
        found.push(...page.items);
        cursor = page.next_cursor;
      }
      return found;
    },
  });
}

export function useReturnTo(name: string) {
  const refresh = useRefreshDataset(name);
  return useMutation({
    mutationFn: (version_id: string) =>
      answer(api.POST("/v1/datasets/{name}/versions/{version_id}/present", { params: { path: { name, version_id } } })),
    onSuccess: refresh,
  });
}
