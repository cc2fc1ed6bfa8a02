/** The tone in which the pictures of a dataset are shown, as this browser keeps it, and whether its panel is open. */
import { useState } from "react";
import type { Picture } from "../../canvas/picture";
import { isPlain, PLAIN, readTone, stretchTone, type Tone } from "../../canvas/tone";
import type { Editor } from "../../editor/editor";

export type ToneControl = ReturnType<typeof useTone>;

export function useTone(editor: Editor, dataset: string, picture: Picture | null) {
  const key = `sightline.label.${dataset}.tone`;
  const [tone, setTone] = useState(() => readTone(localStorage.getItem(key)));
  const [isOpen, setIsOpen] = useState(false);
  const change = (changed: Tone) => {
    localStorage.setItem(key, JSON.stringify(changed));
    setTone(changed);
  };
  const stretch = () => {
    const seen = picture?.sample(editor.getSeen());
    if (seen) change(stretchTone(tone, seen.data));
  };
  return {
    tone,
    change,
    stretch,
    isOpen,
    toggle: () => setIsOpen(!isOpen),
    invert: () => change({ ...tone, inverts: !tone.inverts }),
    /** Stretched to what is seen, or back to how the picture is. */
    toggleStretch: () =>
      isPlain({ ...tone, inverts: false }) ? stretch() : change({ ...PLAIN, inverts: tone.inverts }),
  };
}
