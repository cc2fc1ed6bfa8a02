/** Objects that are followed through the frames of a video: their labels share an attribute, as the server has it. */
import { type Annotation, isProposal, type LabelDocument } from "./annotation";

const TRACK_ID = "track_id";
/** Enough that two people never make up the same. */
const ID_LENGTH = 10;

export function trackOf({ attributes }: Annotation): string | null {
  return attributes?.[TRACK_ID] ?? null;
}

/** The annotation as one of a track: of its own, or of a new one. */
export function withTrack(annotation: Annotation, makeId: () => string): Annotation {
  if (trackOf(annotation) !== null) return annotation;
  return { ...annotation, attributes: { ...annotation.attributes, [TRACK_ID]: makeId().slice(0, ID_LENGTH) } };
}

/** The annotation as another object: a copy in the same picture is not the same one twice. */
export function withoutTrack(annotation: Annotation): Annotation {
  if (trackOf(annotation) === null) return annotation;
  const { [TRACK_ID]: _, ...attributes } = annotation.attributes ?? {};
  return { ...annotation, attributes };
}

/** Ids of a picture's labels of these tracks. */
export function findTracks({ labels }: LabelDocument, tracks: ReadonlySet<string>): string[] {
  return labels.filter(({ annotation }) => tracks.has(trackOf(annotation) ?? "")).map(({ id }) => id);
}

/** The tracks of the chosen labels that people made. */
export function tracksByPeople({ labels }: LabelDocument, ids: ReadonlySet<string>): string[] {
  const chosen = labels.filter(({ id, annotation }) => ids.has(id) && !isProposal(annotation));
  return [...new Set(chosen.flatMap(({ annotation }) => trackOf(annotation) ?? []))];
}
