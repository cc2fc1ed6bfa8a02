import { Link } from "react-router";
import { labelPath, thumbnailUrl } from "../../api/addresses";
import type { Item } from "../../api/types";
import type { Editor } from "../../editor/editor";
import { readFrameTime, shortFrameName } from "../../labels/frame-name";
import { Button } from "../../ui/button";
import { ForRole } from "../../ui/for-role";
import { formatCount } from "../../ui/format";
import { StateMark } from "../../ui/state-bar";
import styles from "./frame-strip.module.css";
import { keyOf } from "./key-names";
import { useSnapshot } from "./use-editor";
import type { Tracks } from "./use-tracks";

type Props = { editor: Editor; dataset: string; position: number; search: string; tracks: Tracks };

/** So many frames are shown before and after the present one. */
const AROUND = 5;

/** Where a frame lies in its video, its neighbours, and what carries labels through them. */
export function FrameStrip({ editor, dataset, position, search, tracks }: Props) {
  const { frames } = tracks;
  const place = frames?.items.findIndex((item) => item.position === position) ?? -1;
  const shown = frames?.items[place];
  const chosen = useSnapshot(editor, ({ selection }) => selection.size);
  if (!frames || !shown) return null;
  const near = frames.items.slice(Math.max(0, place - AROUND), place + AROUND + 1);
  const time = readFrameTime(shown.file_name);
  return (
    <section className={styles.strip} aria-label="Frames of this video">
      <div className={styles.head}>
        <b className={styles.video} title={frames.video ?? ""}>
          {frames.video}
        </b>
        {time && <span className={styles.time}>{time}</span>}
        <span className={styles.place}>
          frame {formatCount(frames.place + 1)} of {formatCount(frames.count)}
        </span>
        <ForRole least="editor">
          <span className={styles.actions}>
            <Button
              disabled={chosen === 0}
              title={`Put the selected labels into the next frame, too (${keyOf(editor, "carryOn")}); ten frames on (${keyOf(editor, "carryFar")})`}
              onClick={tracks.carryOn}
            >
              Carry on
            </Button>
            <Button
              disabled={chosen === 0}
              title={`Propose the selected labels in the frames between this one and the nearest in which they are labelled (${keyOf(editor, "fillTrack")})`}
              onClick={tracks.fillTrack}
            >
              Fill between
            </Button>
          </span>
        </ForRole>
      </div>
      <ol className={styles.frames}>
        {near.map((item) => (
          <Frame key={item.position} dataset={dataset} item={item} search={search} isShown={item === shown} />
        ))}
      </ol>
    </section>
  );
}

type FrameProps = { dataset: string; item: Item; search: string; isShown: boolean };

function Frame({ dataset, item, search, isShown }: FrameProps) {
  const name = shortFrameName(item.file_name);
  return (
    <li>
      <Link
        to={labelPath(dataset, item.position, search)}
        className={styles.frame}
        aria-current={isShown ? "true" : undefined}
        aria-label={`${name}, ${item.state}`}
        title={item.file_name}
      >
        <img src={thumbnailUrl(dataset, item, 128)} alt="" decoding="async" draggable={false} />
        <span className={styles.name}>
          <StateMark state={item.state} />
          {name}
        </span>
      </Link>
    </li>
  );
}
