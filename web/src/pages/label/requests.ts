/** What the editor's page asks of the server, beside what other pages ask, too. */
import { answer, api, UNREACHABLE } from "../../api/client";
import type { ItemFilter } from "../../api/hooks";
import type { components } from "../../api/schema";
import { readOutcome } from "../../editor/answers";
import type { Edit, PictureRef, SendOutcome } from "../../editor/ports";
import type { OpenPicture } from "../../editor/snapshot";
import type { CutRequest } from "../../editor/tool";
import type { Annotation, LabelledItem, MaskRle } from "../../labels/annotation";

type Schemas = components["schemas"];

/** Most pictures that are asked for at once. */
const PAGE = 1000;

export async function loadItem(dataset: string, position: number): Promise<LabelledItem> {
  const path = { name: dataset, position };
  return toLabelled(await answer(api.GET("/v1/datasets/{name}/items/{position}", { params: { path } })));
}

/** Every answer is an outcome, also a refusal. */
export async function sendEdit({ dataset, position, ...edit }: Edit): Promise<SendOutcome> {
  const path = { name: dataset, position };
  const body = edit as unknown as Schemas["Edit"];
  try {
    const { data, error, response } = await api.POST("/v1/datasets/{name}/items/{position}/edits", {
      params: { path },
      body,
    });
    return readOutcome(response.status, data ?? error);
  } catch {
    return { kind: "unreachable", message: UNREACHABLE };
  }
}

/** The mask of the thing in a box, with the strokes that say what belongs to it; nothing is stored. */
export async function cutOut({ dataset, position, blob }: PictureRef, { box, strokes }: CutRequest): Promise<MaskRle> {
  const path = { name: dataset, position };
  const lines = strokes.map(({ points, radius, adds }) => ({
    points: points.flatMap(({ x, y }) => [x, y]),
    radius,
    adds,
  }));
  const body = { blob, box_xyxy: [...box] as [number, number, number, number], strokes: lines };
  return (await answer(api.POST("/v1/datasets/{name}/items/{position}/outline", { params: { path }, body }))).mask;
}

export type JournalEntry = Schemas["JournalEntry"];
export type PredictorFacts = Schemas["PredictorFacts"];

/** Every edit of a picture, the latest first. */
export async function readHistory(dataset: string, position: number): Promise<readonly JournalEntry[]> {
  const path = { name: dataset, position };
  const { edits } = await answer(api.GET("/v1/datasets/{name}/items/{position}/edits", { params: { path } }));
  return edits.toReversed();
}

/** Brings back an earlier revision's labels by one more edit. */
export async function restoreRevision(dataset: string, item: OpenPicture, revision: number): Promise<LabelledItem> {
  const path = { name: dataset, position: item.position };
  const body = { edit_id: crypto.randomUUID(), revision, blob: item.blob };
  return toLabelled(await answer(api.POST("/v1/datasets/{name}/items/{position}/restore", { params: { path }, body })));
}

export async function listPredictors(): Promise<readonly PredictorFacts[]> {
  return (await answer(api.GET("/v1/predictors"))).predictors;
}

export type Proposals = {
  readonly annotations: readonly Annotation[];
  readonly unknownCategories: Readonly<Record<string, number>>;
};

/** What a predictor finds in a picture; nothing is stored. */
export async function askProposals(dataset: string, position: number, predictor: string): Promise<Proposals> {
  const path = { name: dataset, position };
  const body = { with: predictor };
  const found = await answer(api.POST("/v1/datasets/{name}/items/{position}/predictions", { params: { path }, body }));
  return { annotations: found.annotations as unknown as Annotation[], unknownCategories: found.unknown_categories };
}

export type Filling = Schemas["Filling"];

/** Proposes a track in the frames between this one and the nearest ones before and after in which a person labelled it. */
export function fillTrack(dataset: string, track: string, position: number): Promise<Filling> {
  const path = { name: dataset };
  const body = { track_id: track, position };
  return answer(api.POST("/v1/datasets/{name}/tracks/fill", { params: { path }, body }));
}

/** The position of the next picture that the filter lets through; null at the end. */
export async function findNext(dataset: string, filter: ItemFilter, position: number): Promise<number | null> {
  const page = await listItems(dataset, filter, position + 1, 1);
  return page.items[0]?.position ?? null;
}

/** The position of the picture before, looked for in ever larger steps back; null at the beginning. */
export async function findPrevious(dataset: string, filter: ItemFilter, position: number): Promise<number | null> {
  for (let [end, step] = [position, 100]; end > 0; step *= 4) {
    const start = Math.max(0, end - step);
    const last = await findLast(dataset, filter, start, end);
    if (last !== null) return last;
    end = start;
  }
  return null;
}

async function findLast(dataset: string, filter: ItemFilter, start: number, end: number): Promise<number | null> {
  let last: number | null = null;
  for (let cursor: number | null = start; cursor !== null && cursor < end; ) {
    const page = await listItems(dataset, filter, cursor, PAGE);
    last = page.items.findLast((item) => item.position < end)?.position ?? last;
    cursor = page.next_cursor;
  }
  return last;
}

function listItems(dataset: string, filter: ItemFilter, cursor: number, limit: number) {
  const given = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined));
  const query = { ...given, cursor, limit };
  return answer(api.GET("/v1/datasets/{name}/items", { params: { path: { name: dataset }, query } }));
}

// The schema knows tuples as arrays, and writes out what the server leaves out; otherwise both types say the same.
function toLabelled(item: unknown): LabelledItem {
  return item as LabelledItem;
}
