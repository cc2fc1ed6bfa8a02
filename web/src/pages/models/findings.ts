/** What a model found in a picture, as a list shows it. */
import type { Annotation } from "../../api/types";

export type Found = {
  readonly category: string;
  /** 0..1; what has none counts as sure. */
  readonly confidence: number;
  readonly place: string;
};

/** The surest first. */
export function listFindings(
  annotations: readonly Pick<Annotation, "category" | "confidence" | "box_xyxy">[],
): Found[] {
  return annotations
    .map(({ category, confidence, box_xyxy }) => ({
      category,
      confidence: confidence ?? 1,
      place: describeBox(box_xyxy),
    }))
    .sort((one, other) => other.confidence - one.confidence);
}

/** "35 × 31 at 142, 74": pixels, from the top left. */
function describeBox(box: Annotation["box_xyxy"]): string {
  if (!box) return "";
  const [left, top, right, bottom] = box.map(Math.round) as [number, number, number, number];
  return `${right - left} × ${bottom - top} at ${left}, ${top}`;
}
