import { type MouseEvent, memo, useEffect, useRef } from "react";
import { Link } from "react-router";
import { labelPath, thumbnailUrl } from "../../api/addresses";
import type { Item } from "../../api/types";
import { shortFrameName } from "../../labels/frame-name";
import { countOf } from "../../ui/format";
import { Icon } from "../../ui/icon";
import { StateMark } from "../../ui/state-bar";
import styles from "./tile.module.css";

type Props = {
  dataset: string;
  item: Item;
  search: string;
  /** Its place among the pictures that the filter lets through. */
  place: number;
  tabbable: boolean;
  chosen: boolean;
  /** Whether any picture is chosen: then a click chooses, too. */
  choosing: boolean;
  onFocus: (place: number) => void;
  /** Told that the picture shall be chosen or no longer; `ranging`: all up to it. null: none can be. */
  onChoose: ((place: number, ranging: boolean) => void) | null;
};

/** One picture: its thumbnail, its name, how many annotations it has, its state, and whether it is chosen. */
export const Tile = memo(function Tile(props: Props) {
  const { dataset, item, search, place, tabbable, chosen, choosing, onFocus, onChoose } = props;
  const annotations = countOf(item.annotation_count, "annotation");
  // Enter clicks a link, too, with a detail of 0: it opens the picture in any case.
  const onClick = (event: MouseEvent) => {
    if (!onChoose || event.detail === 0 || event.ctrlKey || event.metaKey || !(choosing || event.shiftKey)) return;
    event.preventDefault();
    onChoose(place, event.shiftKey);
  };
  return (
    // biome-ignore lint/a11y/useSemanticElements: a cell of the grid, which is no table
    // biome-ignore lint/a11y/useFocusableInteractive: its link takes the focus
    <div role="gridcell" aria-selected={chosen} className={`${styles.cell} ${chosen ? styles.chosen : ""}`}>
      <Link
        to={labelPath(dataset, item.position, search)}
        className={styles.tile}
        data-place={place}
        tabIndex={tabbable ? 0 : -1}
        aria-label={`${item.file_name}, ${item.state}, ${annotations}`}
        onFocus={() => onFocus(place)}
        onClick={onClick}
      >
        <span className={styles.picture}>
          <Thumbnail address={thumbnailUrl(dataset, item)} />
        </span>
        <span className={styles.name} title={item.file_name}>
          {item.source_video ? `${shortFrameName(item.file_name)} · ${item.source_video}` : item.file_name}
        </span>
        <span className={styles.facts}>
          <StateMark state={item.state} />
          {item.annotation_count > 0 ? annotations : item.state === "labelled" ? "empty" : item.state}
          {item.split && <span className={styles.split}>{item.split}</span>}
        </span>
      </Link>
      {onChoose && (
        <button
          type="button"
          className={`${styles.choose} ${choosing ? styles.shown : ""} ${chosen ? styles.taken : ""}`}
          tabIndex={-1}
          aria-pressed={chosen}
          aria-label={`Choose ${item.file_name}`}
          title="Choose (Space)"
          onClick={(event) => onChoose(place, event.shiftKey)}
        >
          {chosen && <Icon name="check" />}
        </button>
      )}
    </div>
  );
});

/** Its picture is asked for while it is in sight: one that was scrolled past must not keep those waiting that are looked at. */
function Thumbnail({ address }: { address: string }) {
  const image = useRef<HTMLImageElement>(null);
  useEffect(() => {
    const element = image.current;
    if (element) element.src = address;
    return () => element?.removeAttribute("src");
  }, [address]);
  return <img ref={image} alt="" decoding="async" draggable={false} />;
}
