/** Mounts the canvases and the overlay, keeps them as large as their place, and joins them to the editor: none of it renders again. */
import { type RefObject, useEffect, useId, useLayoutEffect, useRef, useState } from "react";
import type { Editor } from "../editor/editor";
import type { EditorSnapshot } from "../editor/snapshot";
import type { Size } from "../geometry/points";
import { findLabel } from "../labels/document";
import { type Colours, useColours } from "./colours";
import { Hand } from "./hand";
import { liftShapes } from "./lifting";
import { Overlay } from "./overlay";
import { Painter } from "./painter";
import type { Picture } from "./picture";
import styles from "./stage.module.css";
import { isPlain, type Tone } from "./tone";
import { ToneFilter } from "./tone-filter";
import { watchSize } from "./watch-size";

type Props = {
  editor: Editor;
  /** The pixels of the editor's picture; null while there are none yet. */
  picture: Picture | null;
  tone: Tone;
  /** What is shown is about to be replaced. */
  isDimmed: boolean;
  label: string;
};

export function Stage({ editor, picture, tone, isDimmed, label }: Props) {
  const filter = useId();
  const stage = useRef<HTMLElement>(null);
  const { painter, canvas } = usePainter(editor, stage);
  const colours = useColours(editor);

  // Before the browser paints: labels of one picture are not to be seen on another, not for a frame.
  useLayoutEffect(() => painter?.showPicture(picture), [painter, picture]);

  useScene(editor, painter, colours);

  return (
    <section
      ref={stage}
      className={`${styles.stage} ${isDimmed ? styles.dimmed : ""}`}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a click gives the focus back from a panel, so that keys go to the editor
      tabIndex={0}
      aria-label={label}
      data-stage={picture ? "ready" : "empty"}
    >
      {!isPlain(tone) && <ToneFilter id={filter} tone={tone} />}
      <canvas className={styles.canvas} style={isPlain(tone) ? {} : { filter: `url(#${filter})` }} />
      <canvas className={styles.canvas} />
      <canvas className={styles.canvas} />
      <Overlay editor={editor} colours={colours} canvas={canvas} />
    </section>
  );
}

/** A painter on the element's canvases and a hand on the element, for as long as it is mounted. */
function usePainter(editor: Editor, stage: RefObject<HTMLElement | null>) {
  const [canvas, setCanvas] = useState<Size>({ width: 0, height: 0 });
  const [painter, setPainter] = useState<Painter | null>(null);
  useEffect(() => {
    const element = stage.current;
    const [bottom, middle, top] = element?.querySelectorAll("canvas") ?? [];
    if (!element || !bottom || !middle || !top) return;
    const painter = new Painter(bottom, middle, top);
    const hand = new Hand(element, editor);
    const stopWatching = watchSize(element, (size, ratio) => {
      painter.resize(size, ratio);
      editor.setCanvas(size);
      setCanvas(size);
    });
    setPainter(painter);
    return () => {
      stopWatching();
      hand.close();
      painter.close();
    };
  }, [editor, stage]);
  return { painter, canvas };
}

/** Has the painter show what the editor does, without rendering anything again. */
function useScene(editor: Editor, painter: Painter | null, colours: Colours): void {
  useEffect(() => {
    if (!painter) return;
    const show = () => {
      const snapshot = editor.getSnapshot();
      const { labels, absent } = liftShapes(snapshot);
      const hovered = findHoveredMask(snapshot);
      painter.showScene({ labels, absent, hidden: snapshot.hidden, selected: snapshot.selection, hovered, colours });
      painter.showMask(snapshot.preview?.mask ?? null, colours);
      painter.showView(snapshot.view);
    };
    show();
    return editor.subscribe(show);
  }, [editor, painter, colours]);
}

function findHoveredMask({ preview, document }: EditorSnapshot): string | null {
  const id = preview?.hovered;
  return id && findLabel(document, id)?.annotation.mask ? id : null;
}
