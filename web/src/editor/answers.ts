/** What became of an edit that was sent, read from the server's answer or from the want of one. */
import type { LabelledItem } from "../labels/annotation";
import type { Failure, Scheduler, SendOutcome, Written } from "./ports";

/** No answer for so long counts as none; the edit is sent again under its name. */
export const ANSWER_MS = 30_000;

const LATE: Failure = { kind: "unreachable", message: "the server did not answer in time" };

/** Sorts an answer; `body` is what its JSON says. */
export function readOutcome(status: number, body: unknown): SendOutcome {
  if (status >= 200 && status < 300) return { kind: "written", written: body as Written };
  const { present } = (body ?? {}) as { present?: LabelledItem };
  return status === 409 && present ? { kind: "stale", present } : readFailure(status, body);
}

function readFailure(status: number, body: unknown): Failure {
  const problem = (body ?? {}) as { detail?: unknown; title?: unknown };
  const said = [problem.detail, problem.title].find((text) => typeof text === "string" && text !== "");
  const message = typeof said === "string" ? said : `the server answered ${status}`;
  // 0: there was no answer. What may pass by itself is tried again; anything else is the server's last word.
  const mayPass = status === 0 || status === 401 || status === 408 || status === 429 || status >= 500;
  return mayPass ? { kind: "unreachable", message } : { kind: "refused", message };
}

/** The outcome, or that there was none in time. Whoever asks may also reject: with the `status` of an answer, or for want of one. */
export function waitForOutcome<Outcome>(ask: () => Promise<Outcome>, scheduler: Scheduler): Promise<Outcome | Failure> {
  return new Promise((resolve) => {
    const cancel = scheduler.after(ANSWER_MS, () => resolve(LATE));
    Promise.resolve()
      .then(ask)
      .catch(readRejection)
      .then((outcome) => {
        cancel();
        resolve(outcome);
      });
  });
}

function readRejection(error: unknown): Failure {
  const { status = 0, message = String(error) } = error as { status?: number; message?: string };
  return readFailure(status, { detail: message });
}
