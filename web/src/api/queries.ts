/** How queries behave: reads are tried again while the server is away, refusals are not, and a lost sign-in is noticed anywhere. */
import { QueryClient } from "@tanstack/react-query";
import { ApiError, api } from "./client";
import { keys } from "./hooks";

export function makeQueryClient(): QueryClient {
  const client = new QueryClient({
    defaultOptions: { queries: { retry: shouldRetry, networkMode: "always" }, mutations: { networkMode: "always" } },
  });
  // The editor asks without queries, too: whoever is refused for want of a sign-in has the session looked at again.
  api.use({
    onResponse: ({ response, schemaPath }) => {
      if (response.status === 401 && schemaPath !== "/v1/session") {
        void client.invalidateQueries({ queryKey: keys.session });
      }
    },
  });
  return client;
}

/** Twice more where the server was not reached or failed; what it refused stays refused. */
export function shouldRetry(failures: number, error: Error): boolean {
  return failures < 2 && !(error instanceof ApiError && error.status >= 400 && error.status < 500);
}
