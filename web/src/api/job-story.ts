/** What a job told so far: events by their number, each once, and never more than a browser likes to keep. */
import type { JobEvent } from "./types";

/** More than the server keeps of a job, so that nothing it sends is thinned when it comes. */
export const MAX_EVENTS = 2000;

/** The events known, with those that came: what is known already is left out, as a stream begins again after a lost connection. */
export function foldEvents(known: readonly JobEvent[], incoming: readonly JobEvent[]): readonly JobEvent[] {
  const last = known.at(-1)?.sequence ?? 0;
  const fresh = incoming.filter(({ sequence }) => sequence > last).sort((one, other) => one.sequence - other.sequence);
  if (fresh.length === 0) return known;
  return thin([...known, ...fresh.filter(({ sequence }, place) => sequence !== fresh[place - 1]?.sequence)]);
}

/** Every second event goes while there are too many; validations, what was said, and the last event stay. */
function thin(events: readonly JobEvent[]): readonly JobEvent[] {
  if (events.length <= MAX_EVENTS) return events;
  const kept = events.filter((event, place) => place % 2 === 0 || isMarked(event) || place === events.length - 1);
  return kept.length < events.length ? thin(kept) : events;
}

function isMarked({ metrics, message }: JobEvent): boolean {
  return message !== "" || metrics.metric !== undefined;
}
