/** Videos among the files of an upload, and how often a frame of them becomes a picture. */
import { countOf } from "../../ui/format";

/** The endings that the server takes for videos (a test compares); a browser knows the types of a few only. */
const ENDINGS = "3gp avi flv m2ts m4v mkv mov mp4 mpeg mpg mts ts webm wmv".split(" ");
/** For the `accept` of a file input. */
export const VIDEO_FILES = ENDINGS.map((ending) => `.${ending}`).join(",");

export function isVideo({ name }: { readonly name: string }): boolean {
  return ENDINGS.includes(name.split(".").pop()?.toLowerCase() ?? "");
}

/** Seconds as people type them, "0,2" too; null for what is no number above 0. */
export function readSeconds(text: string): number | null {
  const seconds = Number(text.trim().replace(",", "."));
  return Number.isFinite(seconds) && seconds > 0 ? seconds : null;
}

/** What a distance between frames means. */
export function describeSampling(everyS: number): string {
  const count = Math.ceil(60 / everyS);
  return everyS > 60 ? "Less than a picture for a minute" : `A minute of video becomes ${countOf(count, "picture")}`;
}
