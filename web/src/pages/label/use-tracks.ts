/** Objects through the frames of a video: carried on to a later frame, and proposed in the frames between. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { ApiError } from "../../api/client";
import { keys, useFrames, useVideos } from "../../api/hooks";
import type { Frames } from "../../api/types";
import type { Editor } from "../../editor/editor";
import type { Annotation } from "../../labels/annotation";
import { tracksByPeople } from "../../labels/tracks";
import { countOf } from "../../ui/format";
import type { PictureLoader } from "./pictures";
import { type Filling, fillTrack } from "./requests";
import { useSnapshot } from "./use-editor";

const ALONE = "No other frame has this object labelled by a person: carry it on and correct it there first.";
/** So many frames on with the key that goes far. */
const FAR = 10;

type Place = { readonly dataset: string; readonly position: number };
type Steps = { readonly goTo: (position: number) => void; readonly say: (words: string) => void };

export type Tracks = {
  /** The frame and its neighbours; null for a picture of no video. */
  readonly frames: Frames | null;
  readonly carryOn: () => void;
  readonly carryFar: () => void;
  readonly fillTrack: () => void;
};

export function useTracks(editor: Editor, loader: PictureLoader, { dataset, position }: Place, steps: Steps): Tracks {
  const hasVideos = (useVideos(dataset).data?.length ?? 0) > 0;
  const { data } = useFrames(dataset, position, FAR, hasVideos);
  const frames = data?.video ? data : null;
  const client = useQueryClient();
  const carried = useRef<{ readonly to: number; readonly annotations: readonly Annotation[] } | null>(null);
  const opened = useSnapshot(editor, ({ picture }) => picture?.position);
  useEffect(() => {
    const waiting = carried.current;
    carried.current = null;
    if (waiting && waiting.to === opened) editor.carryOn(waiting.annotations);
  }, [editor, opened]);

  // What was just labelled is seen in the strip, too.
  const isSaved = useSnapshot(editor, ({ sending }) => sending.kind === "saved");
  const wasSaved = useRef(isSaved);
  useEffect(() => {
    if (isSaved && !wasSaved.current) void client.invalidateQueries({ queryKey: keys.frames(dataset) });
    wasSaved.current = isSaved;
  }, [client, dataset, isSaved]);

  const carry = (by: number) => {
    const rest = frames?.items.slice(frames.items.findIndex((item) => item.position === position) + 1) ?? [];
    const target = rest[Math.min(by, rest.length) - 1];
    if (!frames) return steps.say("This picture is no frame of a video.");
    if (!target) return steps.say("This is the last frame of its video.");
    const annotations = editor.startTracks();
    if (annotations.length === 0) return steps.say("Select the labels that shall be carried on first.");
    carried.current = { to: target.position, annotations };
    steps.goTo(target.position);
  };

  const fill = async () => {
    const { document, selection } = editor.getSnapshot();
    const tracks = tracksByPeople(document, selection);
    if (!frames) return steps.say("This picture is no frame of a video.");
    if (tracks.length === 0) return steps.say("Select a label that was carried on from another frame first.");
    if (!(await waitUntilSaved(editor))) return steps.say("Not all edits are saved yet: try again when they are.");
    try {
      steps.say(describeFilling(await Promise.all(tracks.map((track) => fillTrack(dataset, track, position)))));
    } catch (error) {
      const isAlone = error instanceof ApiError && error.status === 404;
      steps.say(isAlone ? ALONE : (error as Error).message);
    }
    loader.forgetLabels();
    await client.invalidateQueries({ queryKey: keys.frames(dataset) });
  };

  return { frames, carryOn: () => carry(1), carryFar: () => carry(FAR), fillTrack: () => void fill() };
}

/** What became of the frames between, in words. */
export function describeFilling(done: readonly Filling[]): string {
  const filled = new Set(done.flatMap((one) => one.filled)).size;
  const stale = new Set(done.flatMap((one) => one.stale)).size;
  const words = filled > 0 ? `Proposed in ${countOf(filled, "frame")}: look through them.` : "Nothing new to propose.";
  return stale > 0 ? `${words} ${countOf(stale, "frame")} edited meanwhile stayed as they were.` : words;
}

/** Waits until the server has every edit; false where it cannot be reached, or refused one. */
function waitUntilSaved(editor: Editor): Promise<boolean> {
  return new Promise((resolve) => {
    const look = () => {
      const { kind } = editor.getSnapshot().sending;
      if (kind === "saving") return;
      leave();
      resolve(kind === "saved");
    };
    const leave = editor.subscribe(look);
    look();
  });
}
