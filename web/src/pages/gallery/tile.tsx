import { memo, useEffect, useRef } from "react";
import { Link } from "react-router";
import { labelPath, thumbnailUrl } from "../../api/addresses";
import type { Item } from "../../api/types";
import { countOf } from "../../ui/format";
import { StateMark } from "../../ui/state-bar";
import styles from "./tile.module.css";

type Props = {
  dataset: string;
  item: Item;
  search: string;
  /** Its place among the pictures that the filter lets through. */
  place: number;
  tabbable: boolean;
  onFocus: (place: number) => void;
};

/** One picture: its thumbnail, its name, how many annotations it has and its state. */
export const Tile = memo(function Tile({ dataset, item, search, place, tabbable, onFocus }: Props) {
  const annotations = countOf(item.annotation_count, "annotation");
  return (
    // biome-ignore lint/a11y/useSemanticElements: a cell of the grid, which is no table
    // biome-ignore lint/a11y/useFocusableInteractive: its link takes the focus
    <div role="gridcell">
      <Link
        to={labelPath(dataset, item.position, search)}
        className={styles.tile}
        data-place={place}
        tabIndex={tabbable ? 0 : -1}
        aria-label={`${item.file_name}, ${item.state}, ${annotations}`}
        onFocus={() => onFocus(place)}
      >
        <span className={styles.picture}>
          <Thumbnail address={thumbnailUrl(dataset, item)} />
        </span>
        <span className={styles.name} title={item.file_name}>
          {item.file_name}
        </span>
        <span className={styles.facts}>
          <StateMark state={item.state} />
          {item.annotation_count > 0 ? annotations : item.state === "labelled" ? "empty" : item.state}
          {item.split && <span className={styles.split}>{item.split}</span>}
        </span>
      </Link>
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
