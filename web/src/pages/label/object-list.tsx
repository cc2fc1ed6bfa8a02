import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type MouseEvent, useEffect, useMemo, useRef } from "react";
import { useMay } from "../../api/people";
import { useColours } from "../../canvas/colours";
import type { Editor } from "../../editor/editor";
import type { Label } from "../../labels/annotation";
import { keyOf } from "./key-names";
import styles from "./object-list.module.css";
import { ObjectRow } from "./object-row";
import { useSnapshot } from "./use-editor";

const ROW_HEIGHT = 30;

/** Every label of the picture, the topmost first: what the canvas shows, for who does not see it or looks for one. */
export function ObjectList({ editor }: { editor: Editor }) {
  const labels = useSnapshot(editor, (snapshot) => snapshot.document.labels);
  const selection = useSnapshot(editor, (snapshot) => snapshot.selection);
  const hidden = useSnapshot(editor, (snapshot) => snapshot.hidden);
  const colours = useColours(editor);
  const rows = useMemo(() => labels.toReversed(), [labels]);
  const { scroller, virtualizer } = useRows(rows, selection);
  if (rows.length === 0) return <Nothing editor={editor} />;
  const chosen = rows.findIndex(({ id }) => selection.has(id));
  return (
    <div
      ref={scroller}
      className={styles.scroller}
      role="listbox"
      aria-label="Labels of this picture"
      aria-multiselectable="true"
      aria-activedescendant={chosen < 0 ? undefined : `label-${rows[chosen]?.id}`}
      tabIndex={0}
      onKeyDown={(event) => moveChoice(event, editor, rows, chosen)}
    >
      <div className={styles.rows} style={{ height: virtualizer.getTotalSize() }}>
        {virtualizer.getVirtualItems().map(({ index, start }) => {
          const label = rows[index];
          if (!label) return null;
          return (
            <ObjectRow
              key={label.id}
              editor={editor}
              label={label}
              colour={colours.get(label.annotation.category)}
              isChosen={selection.has(label.id)}
              isHidden={hidden.has(label.id)}
              top={start}
              count={rows.length}
              place={index + 1}
              onChoose={(event) => chooseRow(event, editor, rows, index)}
            />
          );
        })}
      </div>
    </div>
  );
}

/** The rows that are in sight, among them the one that was chosen last. */
function useRows(rows: readonly Label[], selection: ReadonlySet<string>) {
  const scroller = useRef<HTMLDivElement>(null);
  const virtualizer = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: 8,
  });
  useScrollToChosen(rows, selection, (place) => {
    // By what the list knows already: to ask the page would lay it out in the middle of a click.
    const top = virtualizer.scrollOffset ?? 0;
    const isSeen = place * ROW_HEIGHT >= top && (place + 1) * ROW_HEIGHT <= top + (virtualizer.scrollRect?.height ?? 0);
    if (!isSeen) virtualizer.scrollToIndex(place, { align: "center" });
  });
  return { scroller, virtualizer };
}

function Nothing({ editor }: { editor: Editor }) {
  const isOpen = useSnapshot(editor, (snapshot) => snapshot.picture !== null);
  const [box, polygon, brush] = [keyOf(editor, "boxTool"), keyOf(editor, "polygonTool"), keyOf(editor, "brushTool")];
  const mayEdit = useMay("editor");
  if (!isOpen) return null;
  if (!mayEdit) return <p className={styles.none}>Nothing is labelled here yet.</p>;
  return (
    <p className={styles.none}>
      Nothing is labelled here yet. Draw with a box ({box}), a polygon ({polygon}) or a brush ({brush}).
    </p>
  );
}

/** A click chooses one, with Ctrl one more or less, with Shift all up to it. */
function chooseRow(event: MouseEvent, editor: Editor, rows: readonly Label[], index: number): void {
  const id = rows[index]?.id;
  if (id === undefined) return;
  const { selection } = editor.getSnapshot();
  const ids = new Set(selection);
  const first = rows.findIndex((row) => selection.has(row.id));
  if (event.shiftKey && first >= 0) {
    for (const row of rows.slice(Math.min(first, index), Math.max(first, index) + 1)) ids.add(row.id);
    editor.select(ids);
  } else if (event.ctrlKey || event.metaKey) {
    if (!ids.delete(id)) ids.add(id);
    editor.select(ids);
  } else {
    editor.select([id]);
  }
}

/** Up and down choose the neighbour and bring it into sight; the other keys stay the editor's. */
function moveChoice(event: KeyboardEvent, editor: Editor, rows: readonly Label[], chosen: number): void {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  const place = chosen < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, chosen + step));
  const id = rows[place]?.id;
  if (id === undefined) return;
  editor.select([id]);
  editor.showLabels([id]);
}

/** What is chosen on the canvas is brought into sight here. */
function useScrollToChosen(
  rows: readonly Label[],
  selection: ReadonlySet<string>,
  scrollTo: (place: number) => void,
): void {
  const latest = useRef({ rows, scrollTo });
  latest.current = { rows, scrollTo };
  useEffect(() => {
    const [id] = selection;
    if (selection.size !== 1) return;
    const place = latest.current.rows.findIndex((row) => row.id === id);
    if (place >= 0) latest.current.scrollTo(place);
  }, [selection]);
}
