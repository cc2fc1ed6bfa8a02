/** The end of a log: as much as a page shows. */

export const MAX_LOG = 200_000; // characters

/** The text with what came; of one that is too long the first lines go. */
export function appendLog(text: string, part: string): string {
  const whole = text + part;
  if (whole.length <= MAX_LOG) return whole;
  const end = whole.slice(-MAX_LOG);
  return end.slice(end.indexOf("\n") + 1);
}
