/** The typed client of the server's API. Every refusal becomes one `ApiError`, whose message is the sentence that the server wrote. */
import createClient from "openapi-fetch";
import type { paths } from "./schema";

export class ApiError extends Error {
  /** The HTTP status; 0 where the server was not reached. */
  readonly status: number;
  /** The whole problem record, which for some refusals says more than its sentence. */
  readonly problem: Readonly<Record<string, unknown>>;

  constructor(status: number, message: string, problem: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.problem = problem;
  }
}

export const UNREACHABLE =
  "The server does not answer. Start `sightline up` again; what is not saved yet waits in this browser.";

export const api = createClient<paths>({ credentials: "same-origin" });

type Answered<Data> = { data?: Data | undefined; error?: unknown; response: Response };

/** What a call of `api` answered, or an ApiError thrown. */
export async function answer<Data>(call: Promise<Answered<Data>>): Promise<Data> {
  let answered: Answered<Data>;
  try {
    answered = await call;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, UNREACHABLE);
  }
  if (!answered.response.ok) throw toApiError(answered.response.status, answered.error);
  return answered.data as Data;
}

/** An ApiError of a problem record (RFC 9457), of FastAPI's lists of faults, or of whatever else came. */
export function toApiError(status: number, body: unknown): ApiError {
  if (typeof body === "object" && body !== null && !Array.isArray(body)) {
    const problem = body as Record<string, unknown>;
    const { detail, title } = problem;
    if (typeof detail === "string" && detail) return new ApiError(status, detail, problem);
    if (typeof title === "string" && title) return new ApiError(status, title, problem);
  }
  return new ApiError(status, `The server answered with status ${status} and no reason.`);
}
