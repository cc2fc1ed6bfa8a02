/** What can be asked of and done to an annotation whatever its geometry: bounds, area, point inside, move, clip to a picture. */
import { boxArea, boxContains, clipBox, joinBoxes, moveBox } from "../geometry/boxes";
import { maskBounds, shiftMask } from "../geometry/masks";
import type { BoxXyxy, Ring, Size } from "../geometry/points";
import { clipRing, moveRing, nearestEdge, ringArea, ringBounds, ringContains } from "../geometry/rings";
import { decodeMask, encodeMask, readRle, rleContains } from "../geometry/rle";
import type { Annotation } from "./annotation";

export type Geometry = "image" | "box" | "polygons" | "mask";

/** The richest geometry that an annotation has; "image": it speaks of the whole picture. */
export function geometryOf(annotation: Annotation): Geometry {
  if (annotation.mask) return "mask";
  if (annotation.polygons) return "polygons";
  return annotation.box_xyxy ? "box" : "image";
}

const knownBounds = new WeakMap<Annotation, BoxXyxy | null>();

/** The rectangle around an annotation; null for one of the whole picture. Annotations never change, so it is found once. */
export function boundsOf(annotation: Annotation): BoxXyxy | null {
  let bounds = knownBounds.get(annotation);
  if (bounds === undefined) {
    bounds = findBounds(annotation);
    knownBounds.set(annotation, bounds);
  }
  return bounds;
}

function findBounds({ mask, polygons, box_xyxy }: Annotation): BoxXyxy | null {
  if (mask) return readRle(mask).bounds;
  if (polygons) return polygons.reduce<BoxXyxy | null>((bounds, ring) => joinBoxes(bounds, ringBounds(ring)), null);
  return box_xyxy ?? null;
}

/** Square pixels. */
export function areaOf({ mask, polygons, box_xyxy }: Annotation): number {
  if (mask) return readRle(mask).area;
  if (polygons) return polygons.reduce((sum, ring) => sum + ringArea(ring), 0);
  return box_xyxy ? boxArea(box_xyxy) : 0;
}

/** Whether a point lies in an annotation, or within `tolerance` pixels of its outline. */
export function covers(annotation: Annotation, x: number, y: number, tolerance = 0): boolean {
  const { mask, polygons, box_xyxy } = annotation;
  if (mask) return rleContains(mask, x, y);
  if (polygons) return polygonsCover(polygons, x, y, tolerance);
  if (!box_xyxy) return false;
  const [x0, y0, x1, y1] = box_xyxy;
  return boxContains([x0 - tolerance, y0 - tolerance, x1 + tolerance, y1 + tolerance], x, y);
}

function polygonsCover(polygons: readonly Ring[], x: number, y: number, tolerance: number): boolean {
  return polygons.some(
    (ring) => ringContains(ring, x, y) || (tolerance > 0 && nearestEdge(ring, x, y).distance <= tolerance),
  );
}

/** The annotation moved; a mask moves by whole pixels, and what leaves the picture is lost. */
export function moveAnnotation(annotation: Annotation, byX: number, byY: number, picture: Size): Annotation {
  const { mask, polygons, box_xyxy } = annotation;
  if (mask) return withMask(annotation, shiftMask(decodeMask(mask), Math.round(byX), Math.round(byY), picture));
  return {
    ...annotation,
    ...(polygons && { polygons: polygons.map((ring) => moveRing(ring, byX, byY)) }),
    ...(box_xyxy && { box_xyxy: moveBox(box_xyxy, byX, byY) }),
  };
}

/** The annotation with other rings; a box beside them stays their bounds. */
export function withPolygons(annotation: Annotation, polygons: readonly Ring[]): Annotation {
  const changed = { ...annotation, polygons };
  return annotation.box_xyxy ? { ...changed, box_xyxy: boundsOf(changed) } : changed;
}

/** The annotation with another mask; a box beside it stays its bounds. */
export function withMask(annotation: Annotation, mask: ReturnType<typeof decodeMask>): Annotation {
  const changed = { ...annotation, mask: encodeMask(mask) };
  return annotation.box_xyxy ? { ...changed, box_xyxy: maskBounds(mask) } : changed;
}

/** The part of an annotation inside a picture; null where nothing that can be seen is left. */
export function clipAnnotation(annotation: Annotation, picture: Size): Annotation | null {
  const { mask, polygons, box_xyxy } = annotation;
  if (mask) {
    const fits = mask.width === picture.width && mask.height === picture.height;
    const clipped = fits ? annotation : withMask(annotation, shiftMask(decodeMask(mask), 0, 0, picture));
    return boundsOf(clipped) ? clipped : null;
  }
  if (polygons) {
    const rings = polygons.map((ring) => clipRing(ring, picture)).filter((ring) => ring !== null);
    return rings.length > 0 ? withPolygons(annotation, rings) : null;
  }
  if (!box_xyxy) return annotation;
  const box = clipBox(box_xyxy, picture);
  return boxArea(box) > 0 ? { ...annotation, box_xyxy: box } : null;
}
