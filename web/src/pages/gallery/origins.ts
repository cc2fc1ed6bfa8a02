/** How a version came to be, in words. */
import type { Version } from "../../api/types";
import { countOf } from "../../ui/format";

/** Of versions that were not imported from files of a format. */
const ORIGINS: Readonly<Record<string, string>> = {
  label: "labelled here",
  annotate: "proposed by a model",
  items: "made by a program",
  samples: "generated",
};

type Origin = Pick<Version, "made_by" | "added" | "removed" | "moved">;

/** "12 pictures added, 1 removed", else where the version comes from. */
export function describeOrigin({ made_by, added, removed, moved }: Origin): string {
  const counts = [
    [added, "added"],
    [removed, "removed"],
    [moved, "put into another split"],
  ] as const;
  const [first, ...rest] = counts.filter(([count]) => count > 0);
  if (first) {
    return [`${countOf(first[0], "picture")} ${first[1]}`, ...rest.map(([count, what]) => `${count} ${what}`)].join(
      ", ",
    );
  }
  return made_by === null ? "made elsewhere" : (ORIGINS[made_by] ?? `imported (${made_by})`);
}
