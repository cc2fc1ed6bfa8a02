import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import type { Item } from "../../api/types";
import styles from "./grid.module.css";
import { chooseByKey, moveByKey } from "./grid-keys";
import { extend, NOTHING, type Selection, toggle } from "./selection";
import { Tile } from "./tile";

type Props = {
  dataset: string;
  /** The pictures that are loaded; `total` counts those that are not, too. */
  items: readonly Item[];
  total: number;
  /** The filter's words, which the editor's addresses keep. */
  search: string;
  selection: Selection;
  /** Whether there is anything to do with chosen pictures. */
  canChoose: boolean;
  /** Told how the selection changes: the pictures that are loaded stand in the order in which they are shown. */
  onSelect: (change: (selection: Selection) => Selection) => void;
  onChooseAll: () => void;
  onNearEnd: () => void;
};

const LEAST_WIDTH = 168;
const GAP = 12;
const CAPTION = 52;
const RIGHT = 27;
/** The place that had the focus last, by dataset and filter, for as long as the app is open. */
const LAST_PLACES = new Map<string, number>();

/**
 * Thumbnails of which only the rows in sight exist. It is one stop of the Tab key: arrows move within it, and Enter opens the
 * picture whose link has the focus. Space chooses it; arrows with Shift choose all that they go over.
 */
export function Grid(props: Props) {
  const { dataset, items, total, search, selection, canChoose, onSelect, onChooseAll, onNearEnd } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const width = useWidth(scroller);
  const pictures = `${dataset}?${search}`;
  const [focused, setFocused] = useState(() => Math.min(LAST_PLACES.get(pictures) ?? 0, items.length - 1));
  const wantsFocus = useRef(false);
  const columns = Math.max(1, Math.floor((width - RIGHT + GAP) / (LEAST_WIDTH + GAP)));
  const tileWidth = (width - RIGHT - GAP * (columns - 1)) / columns;
  const rowHeight = Math.round(tileWidth * 0.75) + CAPTION + GAP;
  const rowCount = Math.ceil(items.length / columns);
  const rows = useVirtualizer({
    count: width > 0 ? rowCount : 0,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 3,
    paddingEnd: 24,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: another height of rows is measured anew
  useLayoutEffect(() => rows.measure(), [rowHeight]);
  // Who comes back from the editor finds the picture that they left from.
  const isLaidOut = width > 0;
  // biome-ignore lint/correctness/useExhaustiveDependencies: once, when the rows' places are known
  useLayoutEffect(() => {
    if (isLaidOut && focused > 0) rows.scrollToIndex(Math.floor(focused / columns), { align: "center" });
  }, [isLaidOut]);

  const shown = rows.getVirtualItems();
  const lastShown = shown.at(-1)?.index ?? 0;
  useEffect(() => {
    if (items.length < total && lastShown >= rowCount - 4) onNearEnd();
  });
  // The focus waits until the row that it goes to exists.
  useEffect(() => {
    if (!wantsFocus.current) return;
    const link = scroller.current?.querySelector<HTMLElement>(`[data-place="${focused}"]`);
    if (link) {
      wantsFocus.current = false;
      link.focus({ preventScroll: true });
    }
  });

  // The same function for every tile, so that scrolling renders only those that come into sight.
  const onFocus = useCallback(
    (place: number) => {
      setFocused(place);
      LAST_PLACES.set(pictures, place);
    },
    [pictures],
  );
  const onChoose = useCallback(
    (place: number, ranging: boolean) => {
      onFocus(place); // keys go on from there
      onSelect((before) => (ranging ? extend(before, items, place) : toggle(before, items, place)));
    },
    [items, onFocus, onSelect],
  );
  const onKeyDown = (event: KeyboardEvent) => {
    const choice = canChoose ? chooseByKey(event) : null;
    if (choice) {
      event.preventDefault();
      if (choice === "all") onChooseAll();
      else onSelect((before) => (choice === "none" ? NOTHING : toggle(before, items, focused)));
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const rowsShown = Math.floor((scroller.current?.clientHeight ?? 0) / rowHeight);
    const place = moveByKey(event.key, focused, { count: items.length, columns, rowsShown });
    if (place === null) return;
    event.preventDefault();
    wantsFocus.current = true;
    if (event.shiftKey && canChoose) onSelect((before) => extend(before, items, place, focused));
    setFocused(place);
    rows.scrollToIndex(Math.floor(place / columns), { align: "auto" });
  };

  return (
    // biome-ignore lint/a11y/useSemanticElements: a table cannot be virtualised by rows that lie where they are put
    <div
      ref={scroller}
      className={styles.scroller}
      role="grid"
      aria-label={`Pictures of ${dataset}`}
      aria-rowcount={Math.ceil(total / columns)}
      aria-colcount={columns}
      aria-multiselectable="true"
      tabIndex={-1}
      onKeyDown={onKeyDown}
    >
      <div style={{ height: rows.getTotalSize() }} className={styles.sheet} role="presentation">
        {shown.map((row) => (
          // biome-ignore lint/a11y/useSemanticElements: as above
          // biome-ignore lint/a11y/useFocusableInteractive: its cells' links take the focus
          <div
            key={row.key}
            role="row"
            aria-rowindex={row.index + 1}
            className={styles.row}
            style={{
              transform: `translateY(${row.start}px)`,
              gridTemplateColumns: `repeat(${columns}, ${tileWidth}px)`,
            }}
          >
            {items.slice(row.index * columns, (row.index + 1) * columns).map((item, column) => {
              const place = row.index * columns + column;
              return (
                <Tile
                  key={item.position}
                  dataset={dataset}
                  item={item}
                  search={search}
                  place={place}
                  tabbable={place === Math.min(focused, items.length - 1)}
                  chosen={selection.chosen.has(item.position)}
                  choosing={selection.chosen.size > 0}
                  onFocus={onFocus}
                  onChoose={canChoose ? onChoose : null}
                />
              );
            })}
          </div>
        ))}
      </div>
    </div>
  );
}

/** The width of an element inside its borders, as it changes; 0 before it is known. */
function useWidth(element: React.RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const watched = element.current;
    if (!watched) return;
    const observer = new ResizeObserver(() => setWidth(watched.clientWidth));
    setWidth(watched.clientWidth);
    observer.observe(watched);
    return () => observer.disconnect();
  }, [element]);
  return width;
}
