/** What became of an edit that was sent, read from the server's answer or from the want of one. */
import type { LabelledItem } from "../labels/annotation";
import type { Scheduler, SendOutcome } from "./ports";

/** No answer for so long counts as none; the edit is sent again under its name. */
export const ANSWER_MS = 30_000;

const LATE: SendOutcome = { kind: "unreachable", message: "the server did not answer in time" };

/** Sorts an answer; `body` is what its JSON says, problem or item. */
export function readOutcome(status: number, body: unknown): SendOutcome {
  if (status >= 200 && status < 300) return { kind: "written", item: body as LabelledItem };
  const problem = (body ?? {}) as { detail?: unknown; title?: unknown; present?: LabelledItem };
  if (status === 409 && problem.present) return { kind: "stale", present: problem.present };
  const said = [problem.detail, problem.title].find((text) => typeof text === "string" && text !== "");
  const message = typeof said === "string" ? said : `the server answered ${status}`;
  // 0: there was no answer. What may pass by itself is tried again; anything else is the server's last word.
  const mayPass = status === 0 || status === 401 || status === 408 || status === 429 || status >= 500;
  return mayPass ? { kind: "unreachable", message } : { kind: "refused", message };
}

/** The outcome, or that there was none in time. Whoever asks may also reject: with the `status` of an answer, or for want of one. */
export function waitForOutcome(ask: () => Promise<SendOutcome>, scheduler: Scheduler): Promise<SendOutcome> {
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

function readRejection(error: unknown): SendOutcome {
  const { status = 0, message = String(error) } = error as { status?: number; message?: string };
  return readOutcome(status, { detail: message });
}
