/** What the shapes layer shows, and which shapes differ between two of its states, so that only these are painted again. Pure. */
import type { Annotation, Label } from "../labels/annotation";

/** A shape as it is drawn; two of the same fields look the same. */
export type Drawn = {
  readonly id: string;
  readonly annotation: Annotation;
  readonly colour: string | undefined;
  readonly isMarked: boolean;
};

export type SceneSource = {
  /** Later labels lie above earlier ones. */
  readonly labels: readonly Label[];
  readonly hidden: ReadonlySet<string>;
  /** Ids that are drawn elsewhere. */
  readonly absent: ReadonlySet<string>;
  readonly selected: ReadonlySet<string>;
  /** A mask under the pointer: it has no outline that could be drawn above it. */
  readonly hovered: string | null;
  readonly colours: ReadonlyMap<string, string>;
};

export type Scene = readonly Drawn[];

export function makeScene({ labels, hidden, absent, selected, hovered, colours }: SceneSource): Scene {
  const scene: Drawn[] = [];
  for (const { id, annotation } of labels) {
    if (hidden.has(id) || absent.has(id)) continue;
    scene.push({
      id,
      annotation,
      colour: colours.get(annotation.category),
      isMarked: selected.has(id) || id === hovered,
    });
  }
  return scene;
}

/** Whether two sources surely make the same scene: most steps of a pointer change nothing of it. */
export function isSameSource(a: SceneSource | null, b: SceneSource): boolean {
  return (
    a !== null &&
    a.labels === b.labels &&
    a.hidden === b.hidden &&
    a.selected === b.selected &&
    a.hovered === b.hovered &&
    a.colours === b.colours &&
    a.absent.size === b.absent.size &&
    [...a.absent].every((id) => b.absent.has(id))
  );
}

/** The shapes of either scene that look otherwise in the other; null: the order changed, so all may. */
export function findChanges(before: Scene, after: Scene): readonly Drawn[] | null {
  const old = new Map(before.map((drawn) => [drawn.id, drawn]));
  const changes: Drawn[] = [];
  const kept: string[] = [];
  for (const drawn of after) {
    const previous = old.get(drawn.id);
    if (!previous) {
      changes.push(drawn);
      continue;
    }
    kept.push(drawn.id);
    if (!looksSame(previous, drawn)) changes.push(previous, drawn);
    old.delete(drawn.id);
  }
  changes.push(...old.values());
  let place = 0;
  for (const { id } of before) {
    if (old.has(id)) continue;
    if (kept[place] !== id) return null;
    place += 1;
  }
  return changes;
}

function looksSame(a: Drawn, b: Drawn): boolean {
  return a.annotation === b.annotation && a.colour === b.colour && a.isMarked === b.isMarked;
}
