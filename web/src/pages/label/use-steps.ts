/** Going from picture to picture within the gallery's filter: next, previous, done and next, and the labels of the picture before. */
import { useEffect, useRef, useState } from "react";
import { useNavigate } from "react-router";
import { labelPath } from "../../api/addresses";
import type { Editor } from "../../editor/editor";
import { readFilter } from "../gallery/filter";
import type { PictureLoader } from "./pictures";
import { loadItem } from "./requests";
import { useNeighbours } from "./use-picture";

/** How long words about the last step stay, ms. */
const WORDS_LAST = 4000;

type Place = {
  readonly dataset: string;
  readonly position: number;
  readonly itemCount: number;
  readonly search: string;
};

export function useSteps(editor: Editor, loader: PictureLoader, { dataset, position, itemCount, search }: Place) {
  const navigate = useNavigate();
  const filter = readFilter(new URLSearchParams(search));
  const neighbours = useNeighbours(editor, loader, { dataset, filter, position, itemCount });
  const [said, setSaid] = useState<{ readonly position: number; readonly words: string } | null>(null);
  const say = (words: string) => setSaid({ position, words });
  // biome-ignore lint/correctness/useExhaustiveDependencies: other words stay as long as the first ones did
  useEffect(() => {
    const timer = setTimeout(() => setSaid(null), WORDS_LAST);
    return () => clearTimeout(timer);
  }, [said]);
  const cameFrom = useRef<number | null>(null);
  const go = (to: number | null | undefined, end: string) => {
    if (to === undefined) return;
    if (to === null) return say(end);
    cameFrom.current = position;
    navigate(labelPath(dataset, to, search));
  };
  const next = () => go(neighbours.next, "This is the last picture.");
  const filterWords = Object.values(filter).filter(Boolean).join(", ");
  return {
    say,
    goTo: (to: number) => go(to, ""),
    next,
    previous: () => go(neighbours.previous, "This is the first picture."),
    done: () => {
      editor.markDone();
      if (neighbours.next === null) say("Done: this was the last picture.");
      else next();
    },
    copyPrevious: () => {
      const from = cameFrom.current ?? neighbours.previous;
      if (from === null || from === undefined) return say("There is no picture before this one to copy labels from.");
      loadItem(dataset, from).then(
        ({ labels }) => {
          if (editor.getSnapshot().picture?.position !== position) return;
          if (labels.length === 0) say("The picture before has no labels.");
          else editor.putCopies(labels.map(({ annotation }) => annotation));
        },
        (error: Error) => say(error.message),
      );
    },
    hasNext: neighbours.next !== null,
    hasPrevious: neighbours.previous !== null,
    filterWords: filterWords || null,
    words: said?.position === position ? said.words : null,
  };
}
