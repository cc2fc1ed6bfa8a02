import { expect, test } from "vitest";
import css from "../../src/styles/tokens.css?raw";

// Text on what it stands on; WCAG 2.2, 1.4.3: 4.5 to 1 at least.
const TEXTS = [
  ["ink", "bg"],
  ["ink", "surface"],
  ["ink", "hover"],
  ["ink", "sunken"],
  ["ink", "accent-soft"],
  ["ink", "labelled-soft"],
  ["ink", "proposed-soft"],
  ["ink", "danger-soft"],
  ["ink-soft", "bg"],
  ["ink-soft", "surface"],
  ["ink-soft", "hover"],
  ["ink-soft", "sunken"],
  ["ink-faint", "bg"],
  ["ink-faint", "surface"],
  ["ink-faint", "hover"],
  ["accent", "bg"],
  ["accent", "surface"],
  ["accent", "accent-soft"],
  ["accent-ink", "accent"],
  ["accent-ink", "accent-hover"],
  ["accent-ink", "danger"],
  ["accent-ink", "danger-hover"],
  ["danger", "surface"],
] as const;
// Marks, borders of fields and the focus ring; 1.4.11: 3 to 1 at least.
const MARKS = [
  ["line-strong", "surface"],
  ["line-strong", "bg"],
  ["labelled", "surface"],
  ["labelled", "sunken"],
  ["labelled", "labelled-soft"],
  ["proposed", "surface"],
  ["proposed", "sunken"],
  ["proposed", "proposed-soft"],
  ["unlabelled", "surface"],
  ["danger", "danger-soft"],
  ["accent", "sunken"],
] as const;

const [light, dark] = css.split("@media (prefers-color-scheme: dark)").map(readColours);

for (const [scheme, palette] of [["light", light] as const, ["dark", { ...light, ...dark }] as const]) {
  test.each(TEXTS)(`${scheme}: text in %s is legible on %s`, (text, ground) => {
    expect(contrast(palette?.[text], palette?.[ground])).toBeGreaterThanOrEqual(4.5);
  });
  test.each(MARKS)(`${scheme}: marks in %s are visible on %s`, (mark, ground) => {
    expect(contrast(palette?.[mark], palette?.[ground])).toBeGreaterThanOrEqual(3);
  });
}

test("black on white is 21 to 1", () => {
  expect(contrast("#000000", "#ffffff")).toBeCloseTo(21);
});

function readColours(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map(([, name, colour]) => [name, colour]),
  );
}

/** WCAG 2.2's contrast ratio of two colours. */
function contrast(one: string | undefined, other: string | undefined): number {
  const [low, high] = [luminance(one ?? ""), luminance(other ?? "")].sort((a, b) => a - b);
  return ((high ?? Number.NaN) + 0.05) / ((low ?? Number.NaN) + 0.05);
}

function luminance(colour: string): number {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const share = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * (red ?? Number.NaN) + 0.7152 * (green ?? Number.NaN) + 0.0722 * (blue ?? Number.NaN);
}
