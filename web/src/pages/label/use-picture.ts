/** Shows the picture of a position: the old one stays until labels and pixels of the new one are there, and neighbours are prepared. */
import { useEffect, useMemo, useRef, useState } from "react";
import { flushSync } from "react-dom";
import type { ItemFilter } from "../../api/hooks";
import type { Picture } from "../../canvas/picture";
import type { Editor } from "../../editor/editor";
import { isFiltering } from "../gallery/filter";
import { PictureLoader } from "./pictures";
import { findNext, findPrevious } from "./requests";
import { useSnapshot } from "./use-editor";

/** Pictures that follow each other sooner, ms, are passed by: keys repeat every thirty. */
const REST = 120;

export type Shown = {
  /** The pixels of the picture that the editor has open. */
  readonly picture: Picture | null;
  readonly isLoading: boolean;
  readonly error: Error | null;
  readonly retry: () => void;
};

export function usePicture(
  editor: Editor,
  dataset: string,
  position: number,
): Shown & { readonly loader: PictureLoader } {
  const loader = useMemo(() => new PictureLoader(dataset), [dataset]);
  const [shown, setShown] = useState<{ readonly position: number; readonly picture: Picture } | null>(null);
  const [failure, setFailure] = useState<{ readonly position: number; readonly error: Error } | null>(null);
  const [attempt, setAttempt] = useState(0);

  const askedAt = useRef(Number.NEGATIVE_INFINITY);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another attempt loads the same picture again
  useEffect(() => {
    let isWanted = true;
    setFailure(null);
    const load = () =>
      loader.load(position).then(
        ({ item, picture }) => {
          if (!isWanted) return;
          flushSync(() => {
            editor.open(item);
            editor.setPixels((box) => picture.read(box));
            setShown({ position, picture });
          });
        },
        (error: unknown) => {
          if (isWanted) setFailure({ position, error: error instanceof Error ? error : new Error(String(error)) });
        },
      );
    // Whoever holds the key down passes pictures by: only where the hand rests is one loaded.
    const isPassing = performance.now() - askedAt.current < REST;
    askedAt.current = performance.now();
    const timer = isPassing ? window.setTimeout(load, REST) : void load();
    return () => {
      isWanted = false;
      window.clearTimeout(timer);
    };
  }, [editor, loader, position, attempt]);

  const error = failure?.position === position ? failure.error : null;
  return {
    picture: shown?.picture ?? null,
    isLoading: shown?.position !== position && !error,
    error,
    retry: () => setAttempt((count) => count + 1),
    loader,
  };
}

export type Place = {
  readonly dataset: string;
  readonly filter: ItemFilter;
  readonly position: number;
  readonly itemCount: number;
};

export type Neighbours = {
  /** Undefined while it is not known; null where there is none. */
  readonly next: number | null | undefined;
  readonly previous: number | null | undefined;
};

/** Which pictures lie before and after in the filter; the next one is loaded ahead as soon as this one is saved. */
export function useNeighbours(editor: Editor, loader: PictureLoader, place: Place): Neighbours {
  const { position } = place;
  const asked = useFilteredNeighbours(place);
  const { next, previous } = isFiltering(place.filter) ? asked : countNeighbours(place);
  const isSaved = useSnapshot(
    editor,
    ({ sending, picture }) => sending.kind === "saved" && picture?.position === position,
  );
  useEffect(() => {
    // Not before the edits of this picture are written: they may be edits of the next one, made a moment ago.
    if (isSaved && next !== null && next !== undefined) void loader.prepare(next);
  }, [loader, isSaved, next]);
  return { next, previous };
}

/** Without a filter the positions themselves tell. */
function countNeighbours({ position, itemCount }: Place): Neighbours {
  return {
    next: position + 1 < itemCount ? position + 1 : null,
    previous: position > 0 ? Math.min(position, itemCount) - 1 : null,
  };
}

function useFilteredNeighbours({ dataset, filter, position }: Place): Neighbours {
  const [found, setFound] = useState<Neighbours & { readonly of: string }>();
  const of = JSON.stringify([dataset, filter, position]);
  useEffect(() => {
    let isWanted = true;
    const [name, words, place] = JSON.parse(of) as [string, ItemFilter, number];
    if (!isFiltering(words)) return;
    // Without an answer there is no way on until the next picture asks again; that the server is away, the page says by itself.
    Promise.all([findNext(name, words, place), findPrevious(name, words, place)]).then(
      ([next, previous]) => isWanted && setFound({ of, next, previous }),
      () => isWanted && setFound({ of, next: null, previous: null }),
    );
    return () => {
      isWanted = false;
    };
  }, [of]);
  return found?.of === of ? found : { next: undefined, previous: undefined };
}
