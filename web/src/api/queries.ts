/** How queries behave: reads are tried again while the server is away, refusals are not, and a lost sign-in is noticed anywhere. */
import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";
import { ApiError } from "./client";
import { keys } from "./hooks";

export function makeQueryClient(): QueryClient {
  const noticeSignOut = (error: Error) => {
    if (error instanceof ApiError && error.status === 401) void client.resetQueries({ queryKey: keys.session });
  };
  const client: QueryClient = new QueryClient({
    queryCache: new QueryCache({
      onError: (error, query) => {
        if (query.queryKey[0] !== keys.session[0]) noticeSignOut(error);
      },
    }),
    mutationCache: new MutationCache({ onError: noticeSignOut }),
    defaultOptions: { queries: { retry: shouldRetry, networkMode: "always" }, mutations: { networkMode: "always" } },
  });
  return client;
}

/** Twice more where the server was not reached or failed; what it refused stays refused. */
export function shouldRetry(failures: number, error: Error): boolean {
  return failures < 2 && !(error instanceof ApiError && error.status >= 400 && error.status < 500);
}
