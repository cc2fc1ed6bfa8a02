/** Which of a Report's files are pictures to show, and what they are called. */

export type ReportPicture = { readonly file: string; readonly title: string };

const PLOTS: Readonly<Record<string, string>> = {
  "plots/confusion.png": "Confusion",
  "plots/precision_recall.png": "Precision and recall",
  "plots/categories.png": "By category",
  "plots/latency.png": "Latency",
  "plots/throughput.png": "Throughput",
};

const PICTURE = /\.(png|jpg)$/;

/** The plots, those on accuracy first. */
export function listPlots(files: readonly string[]): ReportPicture[] {
  const known = Object.keys(PLOTS).filter((file) => files.includes(file));
  const others = files.filter((file) => file.startsWith("plots/") && PICTURE.test(file) && !(file in PLOTS));
  return [...known, ...others].map((file) => ({ file, title: PLOTS[file] ?? nameOf(file) }));
}

/** The pictures on which it was wrong. */
export function listMistakes(files: readonly string[]): ReportPicture[] {
  return files
    .filter((file) => file.startsWith("mistakes/") && PICTURE.test(file))
    .map((file, place) => ({ file, title: `Mistake ${place + 1}` }));
}

function nameOf(file: string): string {
  const words = file.replace(/^.*\//, "").replace(PICTURE, "").replaceAll("_", " ");
  return `${words[0]?.toUpperCase() ?? ""}${words.slice(1)}`;
}
