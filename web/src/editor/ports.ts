/** What the editor needs from outside: the server, storage, clocks and chance. A browser gives them, or a test. */
import type { Label, LabelledItem, MaskRle, Operation, Viewer } from "../labels/annotation";
import type { CutRequest } from "./tool";

/** One step on the way to the server; `edit_id` is its name for ever, so that sending it twice writes it once. */
export type Edit = {
  readonly dataset: string;
  readonly position: number;
  /** The picture that it was made on; the server refuses it if another one has this place. */
  readonly blob: string;
  readonly edit_id: string;
  /** The revision that it was made on. */
  readonly revision: number;
  readonly operations: readonly Operation[];
};

/** What the server says of an edit that it wrote: the picture's revision, and the labels that are not as the edit put them. */
export type Written = {
  readonly revision: number;
  readonly seen_by: Viewer | null;
  readonly cleaned: readonly Label[];
};

/** What became of an edit that was sent. */
export type SendOutcome =
  /** 200/201: it is in the journal. */
  | { readonly kind: "written"; readonly written: Written }
  /** 409 with "present": the picture has another revision. */
  | { readonly kind: "stale"; readonly present: LabelledItem }
  | Failure;

export type Failure =
  /** 4xx for good (not 401, 408, 409 with "present", 429): the server's line. */
  | { readonly kind: "refused"; readonly message: string }
  /** No answer, 401, 408, 429 or 5xx: to be tried again; why, in words. */
  | { readonly kind: "unreachable"; readonly message: string };

/** Sends an edit. It may also reject: that counts as unreachable. */
export type SendEdit = (edit: Edit) => Promise<SendOutcome>;

/** Asks for a picture. It rejects where there is no answer, or with the `status` of one that is no picture. */
export type LoadItem = (dataset: string, position: number) => Promise<LabelledItem>;

/** Asks for the mask of the thing in a box of a picture; nothing is stored. It rejects with why there is none. */
export type CutOut = (picture: PictureRef, request: CutRequest) => Promise<MaskRle>;

export type PictureRef = { readonly dataset: string; readonly position: number; readonly blob: string };

/** The part of the browser's localStorage that is used. */
export type KeptTexts = Pick<Storage, "length" | "key" | "getItem" | "setItem" | "removeItem">;

export type Scheduler = {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Calls back once after so many milliseconds; returns what cancels it. */
  readonly after: (milliseconds: number, callBack: () => void) => () => void;
};

export type EditorPorts = {
  readonly dataset: string;
  readonly send: SendEdit;
  readonly load: LoadItem;
  readonly cutOut: CutOut;
  readonly storage: KeptTexts;
  readonly scheduler: Scheduler;
  /** 0 up to, not including, 1. */
  readonly random: () => number;
};

const ID_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** A new name for an annotation, an edit or a tab: 16 of 64 characters are 96 bits. */
export function makeRandomId(random: () => number): string {
  return Array.from({ length: 16 }, () => ID_CHARACTERS[Math.floor(random() * ID_CHARACTERS.length)]).join("");
}
