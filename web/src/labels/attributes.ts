/** Facts of a whole picture, text to text: they change as labels do, by operations that can be undone. Pure. */
import type { Attributes, LabelDocument } from "./annotation";

/** As the server has them. */
export const LONGEST_KEY = 100;
export const LONGEST_VALUE = 10_000;

const NONE: Attributes = {};

export function attributesOf(document: LabelDocument): Attributes {
  return document.attributes ?? NONE;
}

/** Null where there is none; a key may be any text, also the name of something that every object has. */
export function findValue(attributes: Attributes, key: string): string | null {
  return Object.hasOwn(attributes, key) ? (attributes[key] as string) : null;
}

/** With another value of a key; null takes the key away. */
export function setAttribute(attributes: Attributes, key: string, value: string | null): Attributes {
  if (findValue(attributes, key) === value) return attributes;
  const others = Object.entries(attributes).filter(([one]) => one !== key);
  return Object.fromEntries(value === null ? others : [...others, [key, value]]);
}

/** Keys and values in the order of the keys. */
export function listAttributes(attributes: Attributes): readonly (readonly [key: string, value: string])[] {
  return Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1));
}

export function sameAttributes(a: Attributes, b: Attributes): boolean {
  const [left, right] = [Object.entries(a), Object.keys(b)];
  return a === b || (left.length === right.length && left.every(([key, value]) => findValue(b, key) === value));
}

/** A field of a document, which one without attributes lacks. */
export function carryAttributes(attributes: Attributes): { readonly attributes?: Attributes } {
  return Object.keys(attributes).length > 0 ? { attributes } : {};
}
