/** Names of datasets, by the rule of the workspace, and names of categories as people type them. */

import { isVideo } from "./videos";

const ALLOWED = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** What is wrong with a name, or undefined. */
export function checkName(name: string, taken: readonly string[]): string | undefined {
  if (!ALLOWED.test(name)) return "Letters, digits, dots, hyphens and underscores, a letter or a digit first";
  if (taken.includes(name)) return `There is a dataset ${name} already; choose another name`;
  return undefined;
}

/** A name for what was chosen: the archive's, video's or folder's own, made to fit and not taken; empty without files. */
export function suggestName(
  files: readonly { readonly name: string; readonly webkitRelativePath?: string }[],
  taken: readonly string[],
): string {
  const first = files[0];
  if (!first) return "";
  const folder = first.webkitRelativePath?.split("/")[0];
  const stem =
    files.length === 1 && (/\.zip$/i.test(first.name) || isVideo(first))
      ? first.name.replace(/\.[^.]*$/, "")
      : folder || "pictures";
  const fit = stem
    .replace(/[^A-Za-z0-9._-]+/g, "-")
    .replace(/^[^A-Za-z0-9]+/, "")
    .slice(0, 90);
  const name = fit || "pictures";
  let number = 2;
  let free = name;
  while (taken.includes(free)) {
    free = `${name}-${number}`;
    number += 1;
  }
  return free;
}

/** "dent, scratch" as two names, each once. */
export function splitCategories(text: string): string[] {
  const names = text.split(/[,;\n]/).map((name) => name.trim());
  return [...new Set(names.filter(Boolean))];
}
