/** Which labels lie under the pointer or in a rubber band: a grid over bounds, kept in step with the document label by label. */

import { boxEncloses } from "../geometry/boxes";
import { BoundsGrid } from "../geometry/grid";
import type { BoxXyxy, ImagePoint, Size } from "../geometry/points";
import type { Label, LabelDocument } from "./annotation";
import { placesOf } from "./document";
import { areaOf, boundsOf, covers } from "./shapes";

export class LabelIndex {
  readonly grid: BoundsGrid;
  #labels: readonly Label[] = [];
  #entered = new Map<string, Label>();

  constructor(picture: Size) {
    this.grid = new BoundsGrid(picture);
  }

  /** Follows the document: only labels that are new, gone or other objects than before are entered anew. */
  update(document: LabelDocument): void {
    if (document.labels === this.#labels) return;
    const places = placesOf(document.labels);
    for (const id of this.#entered.keys()) {
      if (!places.has(id)) {
        this.#entered.delete(id);
        this.grid.delete(id);
      }
    }
    for (const label of document.labels) {
      if (this.#entered.get(label.id) === label) continue;
      this.#entered.set(label.id, label);
      const bounds = boundsOf(label.annotation);
      if (bounds) this.grid.set(label.id, bounds);
      else this.grid.delete(label.id);
    }
    this.#labels = document.labels;
  }

  /** Labels whose bounds share a point with a rectangle, in the order in which they are drawn. */
  query(box: BoxXyxy): Label[] {
    const places = placesOf(this.#labels);
    return [...this.grid.query(box)]
      .map((id) => places.get(id) as number)
      .sort((a, b) => a - b)
      .map((place) => this.#labels[place] as Label);
  }

  /** Labels under a point or within `tolerance` pixels of it, the topmost first. */
  hit(at: ImagePoint, tolerance: number, hidden: ReadonlySet<string>): Label[] {
    return this.query([at.x - tolerance, at.y - tolerance, at.x + tolerance, at.y + tolerance])
      .filter((label) => !hidden.has(label.id) && covers(label.annotation, at.x, at.y, tolerance))
      .reverse();
  }

  /** Labels that lie wholly in a rectangle, in the order in which they are drawn. */
  enclosed(box: BoxXyxy, hidden: ReadonlySet<string>): Label[] {
    return this.query(box).filter(
      ({ id, annotation }) => !hidden.has(id) && boxEncloses(box, boundsOf(annotation) as BoxXyxy),
    );
  }
}

/**
 * Which of the labels under the pointer a click means: the topmost; where that was chosen already, the next, by size, so that
 * clicking again and again reaches every one, small ones soon.
 */
export function chooseHit(hits: readonly Label[], chosen: string | null): Label | null {
  const [top, ...rest] = hits;
  if (!top) return null;
  const order = [top, ...rest.sort((a, b) => areaOf(a.annotation) - areaOf(b.annotation))];
  const at = order.findIndex((label) => label.id === chosen);
  return order[(at + 1) % order.length] as Label;
}
