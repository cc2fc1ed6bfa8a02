/** Which task a dataset's labels are for. */

/** As much of an annotation as tells what it marks. */
type Shape = {
  readonly box_xyxy?: readonly number[] | null;
  readonly polygons?: readonly unknown[] | null;
  readonly mask?: unknown;
};

export type TrainTask = "detection" | "semantic" | "classification" | "multilabel";

export const TASKS: Readonly<Record<TrainTask, { name: string; finds: string }>> = {
  detection: { name: "Detection", finds: "where things are: boxes" },
  semantic: { name: "Segmentation", finds: "which pixels belong to what" },
  classification: { name: "Classification", finds: "what a picture shows: one category each" },
  multilabel: { name: "Tagging", finds: "all the categories that fit a picture" },
};

/** The task that the labels of some pictures are for; null of pictures without labels. */
export function guessTask(pictures: readonly (readonly Shape[])[]): TrainTask | null {
  const all = pictures.flat();
  if (all.length === 0) return null;
  const outlined = all.filter(({ mask, polygons }) => mask || polygons?.length).length;
  const boxed = all.filter(({ box_xyxy, mask, polygons }) => box_xyxy && !mask && !polygons?.length).length;
  if (outlined > boxed && outlined > all.length / 2) return "semantic";
  if (outlined + boxed > 0) return "detection";
  return pictures.some((labels) => labels.length > 1) ? "multilabel" : "classification";
}
