/**
 * Keys pressed together, written "Ctrl+Shift+Z": modifiers in this order, then a letter, a digit, a sign or a key's name. A letter
 * is the one that the layout gives, wherever it lies; where the layout gives no Latin letter or digit, the key's place decides.
 */

/** The part of a KeyboardEvent that is read. */
export type KeyLike = {
  readonly key: string;
  readonly code: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly shiftKey: boolean;
  readonly altKey: boolean;
};

const MODIFIER_KEYS = new Set(["Control", "Shift", "Alt", "AltGraph", "Meta", "OS", "CapsLock", "Fn", "NumLock"]);
const SIGN_CODES: Readonly<Record<string, string>> = {
  BracketLeft: "[",
  BracketRight: "]",
  Minus: "-",
  Equal: "=",
  Comma: ",",
  Period: ".",
  Slash: "/",
  Semicolon: ";",
  Quote: "'",
  Backquote: "`",
  Backslash: "\\",
};

/** What a pressed key may be bound as, the likeliest first; none for a modifier alone or while an input method composes. */
export function chordsOf(event: KeyLike): string[] {
  const { key, code } = event;
  if (MODIFIER_KEYS.has(key) || key === "Process" || key === "Unidentified") return [];
  const chords: string[] = [];
  if (key !== "Dead") chords.push(chordByKey(event));
  const place = keyAtPlace(code);
  if (place !== null && !/^[a-z0-9]$/i.test(key) && (key.length === 1 || key === "Dead")) {
    chords.push(join(event.ctrlKey || event.metaKey, event.altKey, event.shiftKey, place));
  }
  return chords;
}

function chordByKey({ key, ctrlKey, metaKey, altKey, shiftKey }: KeyLike): string {
  if (key === " ") return join(ctrlKey || metaKey, altKey, shiftKey, "Space");
  if (key.length > 1 || isLetter(key))
    return join(ctrlKey || metaKey, altKey, shiftKey, isLetter(key) ? key.toUpperCase() : key);
  // A sign's Shift belongs to the layout: "?" is Shift and "/" here, Shift and "ß" there. So does AltGr, which comes as Ctrl and Alt.
  const altGr = ctrlKey && altKey;
  return join((ctrlKey || metaKey) && !altGr, altKey && !altGr, false, key);
}

function isLetter(key: string): boolean {
  return key.length === 1 && key.toLowerCase() !== key.toUpperCase();
}

/** The letter, digit or sign that a US keyboard has at this place. */
function keyAtPlace(code: string): string | null {
  const named = /^(?:Key([A-Z])|Digit([0-9]))$/.exec(code);
  return named?.[1] ?? named?.[2] ?? SIGN_CODES[code] ?? null;
}

function join(ctrl: boolean, alt: boolean, shift: boolean, key: string): string {
  return `${ctrl ? "Ctrl+" : ""}${alt ? "Alt+" : ""}${shift ? "Shift+" : ""}${key}`;
}

const MODIFIER_NAMES: Readonly<Record<string, "ctrl" | "alt" | "shift">> = {
  ctrl: "ctrl",
  control: "ctrl",
  cmd: "ctrl",
  meta: "ctrl",
  alt: "alt",
  option: "alt",
  shift: "shift",
};

/** A chord as people may write it, "shift+ctrl+z" or "Cmd+Z", in the one way that is used here; null where it is none. */
export function parseChord(text: string): string | null {
  // The last key may be "+" itself.
  const parts = /^(?:(.*)\+)?(\+|[^+]+)$/.exec(text.trim());
  const key = parts?.[2]?.trim();
  if (!key || MODIFIER_NAMES[key.toLowerCase()]) return null;
  const written = parts?.[1] ? parts[1].split("+").map((name) => name.trim().toLowerCase()) : [];
  const modifiers = written.map((name) => MODIFIER_NAMES[name]);
  if (modifiers.includes(undefined)) return null;
  const named = key.length === 1 ? key.toUpperCase() : (key[0] as string).toUpperCase() + key.slice(1);
  return join(modifiers.includes("ctrl"), modifiers.includes("alt"), modifiers.includes("shift"), named);
}
