/** What a dataset lacks for a training, in words: what forbids it, and what makes it worse. */
import type { DatasetSummary } from "../../api/types";
import { countOf, formatCount } from "../../ui/format";

export type Lacks = { readonly forbids: readonly string[]; readonly warns: readonly string[] };

const FEW = 20;

export function findLacks(dataset: DatasetSummary): Lacks {
  const { states, splits, categories, annotation_counts } = dataset;
  const forbids: string[] = [];
  const warns: string[] = [];
  const labels = Object.values(annotation_counts).reduce((sum, count) => sum + count, 0);
  if (categories.length === 0) forbids.push("It has no categories yet: add what is to be learned.");
  if (states.labelled + states.proposed === 0 || labels === 0)
    forbids.push("No picture is labelled yet: label some first.");
  if (!splits.train) forbids.push("It has no pictures in the split “train”, from which a model learns.");
  if (!splits.val) {
    warns.push(
      "It has no pictures in the split “val”: nothing tells the best weights from the last ones, which are kept.",
    );
  }
  if (states.unlabelled > 0) {
    warns.push(`${countOf(states.unlabelled, "picture")} that nobody labelled ${are(states.unlabelled)} left out.`);
  }
  if (states.proposed > 0) {
    const what = `${countOf(states.proposed, "picture")} with proposals of a model only ${are(states.proposed)} learned from`;
    warns.push(`${what}, but judge nothing; look through them first for a better model.`);
  }
  if (states.labelled > 0 && states.labelled < FEW) {
    warns.push(
      `Only ${countOf(states.labelled, "picture")} ${are(states.labelled)} labelled; some dozens of each category teach more.`,
    );
  }
  const unused = categories.filter(({ name }) => !annotation_counts[name]).map(({ name }) => name);
  if (labels > 0 && unused.length > 0) warns.push(`Nothing is labelled as ${list(unused)}; that cannot be learned.`);
  return { forbids, warns };
}

function are(count: number): string {
  return count === 1 ? "is" : "are";
}

const NAMED = 3;

function list(names: readonly string[]): string {
  const rest = names.length - NAMED;
  return rest > 0 ? `${names.slice(0, NAMED).join(", ")} and ${formatCount(rest)} more` : names.join(", ");
}
