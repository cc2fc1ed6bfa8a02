/** Which task a dataset's labels are for. */

/** As much of an annotation as tells what it marks. */
type Shape = {
  readonly category?: string;
  readonly box_xyxy?: readonly number[] | null;
  readonly polygons?: readonly unknown[] | null;
  readonly mask?: unknown;
};

export type TrainTask = "detection" | "instance" | "semantic" | "classification" | "multilabel";

export const TASKS: Readonly<Record<TrainTask, { name: string; finds: string }>> = {
  detection: { name: "Detection", finds: "where things are: boxes" },
  instance: { name: "Instance segmentation", finds: "each thing by itself, and which pixels are its own" },
  semantic: { name: "Semantic segmentation", finds: "which pixels belong to what" },
  classification: { name: "Classification", finds: "what a picture shows: one category each" },
  multilabel: { name: "Tagging", finds: "all the categories that fit a picture" },
};

/** The task that the labels of some pictures are for; null of pictures without labels. */
export function guessTask(pictures: readonly (readonly Shape[])[]): TrainTask | null {
  const all = pictures.flat();
  if (all.length === 0) return null;
  const outlined = all.filter(({ mask, polygons }) => mask || polygons?.length).length;
  const boxed = all.filter(({ box_xyxy, mask, polygons }) => box_xyxy && !mask && !polygons?.length).length;
  if (outlined > boxed && outlined > all.length / 2) return pictures.some(tellsApart) ? "instance" : "semantic";
  if (outlined + boxed > 0) return "detection";
  return pictures.some((labels) => labels.length > 1) ? "multilabel" : "classification";
}

/** Whether a picture has several outlines of one category: then each is of a thing, and not of all that is of the category. */
function tellsApart(labels: readonly Shape[]): boolean {
  const outlined = labels.filter(({ mask, polygons }) => mask || polygons?.length);
  return new Set(outlined.map(({ category }) => category)).size < outlined.length;
}
