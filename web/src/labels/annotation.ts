/** The Annotation as the server has it, and the operations that change a picture's labels: the same words on both sides. */
import type { BoxXyxy, Ring } from "../geometry/points";
import type { MaskRle } from "../geometry/rle";

export type { MaskRle } from "../geometry/rle";

/** One labelled thing, or the label of a whole picture: then it has neither box nor polygons nor mask. */
export type Annotation = {
  readonly category: string;
  readonly box_xyxy?: BoxXyxy | null;
  readonly polygons?: readonly Ring[] | null;
  readonly mask?: MaskRle | null;
  /** 0..1 for a prediction, null or absent for a person's annotation. */
  readonly confidence?: number | null;
  readonly origin?: "human" | "model";
  readonly is_crowd?: boolean;
  readonly attributes?: Readonly<Record<string, string>>;
};

export type Viewer = "human" | "model" | "nobody";

/** An annotation and the name by which operations speak of it; it stays the same as long as the annotation lives. */
export type Label = { readonly id: string; readonly annotation: Annotation };

/** Adds an annotation, or replaces the one of this id. `place` is its index in the list; null: where it was, or last. */
export type Put = {
  readonly kind: "put";
  readonly id: string;
  readonly annotation: Annotation;
  readonly place?: number | null;
};
export type Remove = { readonly kind: "remove"; readonly id: string };
/** Says who looked at the picture; null where its annotations alone shall tell. */
export type Review = { readonly kind: "review"; readonly seen_by: Viewer | null };
/** Gives an attribute of the picture a value; null takes it away. Who looked at the picture stays as it was. */
export type SetAttribute = { readonly kind: "set"; readonly key: string; readonly value: string | null };
export type Operation = Put | Remove | Review | SetAttribute;

/** Further facts of a picture, text to text. */
export type Attributes = Readonly<Record<string, string>>;

/** A picture's labels, as one revision of the journal has them. Later labels lie above earlier ones. */
export type LabelDocument = {
  readonly labels: readonly Label[];
  readonly seenBy: Viewer | null;
  /** Absent where the picture has none, as on the wire. */
  readonly attributes?: Attributes;
};

export const EMPTY_DOCUMENT: LabelDocument = { labels: [], seenBy: null };

/** What the server answers of a picture, as far as its labels and attributes go. */
export type LabelledItem = {
  readonly position: number;
  readonly file_name: string;
  readonly width: number;
  readonly height: number;
  readonly blob: string;
  /** The number of edits that the picture ever had. */
  readonly revision: number;
  readonly labels: readonly Label[];
  readonly seen_by: Viewer | null;
  readonly attributes?: Attributes;
};

export type Category = { readonly id: number; readonly name: string; readonly colour: string };

export function isProposal(annotation: Annotation): boolean {
  return annotation.origin === "model";
}

/** The annotation as a person's own: what a person accepted or corrected is no longer a prediction. */
export function asHuman(annotation: Annotation): Annotation {
  return { ...annotation, origin: "human", confidence: null };
}
