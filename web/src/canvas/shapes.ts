/**
 * Drawing one annotation. What is made of it once, an outline as a path in pixels of the picture or the picture of a mask, is kept as
 * long as the annotation lives: annotations never change, a changed label has another one.
 */
import { boxHeight, boxWidth } from "../geometry/boxes";
import type { BoxXyxy, Ring } from "../geometry/points";
import { ringLength } from "../geometry/rings";
import type { Annotation } from "../labels/annotation";
import { areaOf, boundsOf } from "../labels/shapes";
import { type MaskPicture, makeMaskPicture } from "./masks";
import type { Drawn } from "./scene";
import { DASH, isTiny, LINE_WIDTH, lineWidth, lookOf, MARKED_LINE_WIDTH, MARKER_RADIUS } from "./style";

const paths = new WeakMap<Annotation, Path2D>();
const thicknesses = new WeakMap<Annotation, number>();
const masks = new WeakMap<Annotation, { readonly colour: string | undefined; readonly picture: MaskPicture | null }>();

/** The context's unit is a pixel of the picture, of which `cssPixel` is the part that a CSS pixel shows. */
export function drawShape(context: CanvasRenderingContext2D, drawn: Drawn, cssPixel: number): void {
  const { annotation, colour, isMarked } = drawn;
  const box = boundsOf(annotation);
  if (box && isTiny(box, 1 / cssPixel)) {
    drawMarker(context, drawn, box, cssPixel);
    return;
  }
  if (annotation.mask) {
    drawMask(context, drawn, cssPixel);
    return;
  }
  const path = pathOf(annotation);
  if (!path) return;
  const look = lookOf(colour);
  context.fillStyle = isMarked ? look.marked : look.fill;
  context.fill(path);
  context.strokeStyle = look.stroke;
  context.lineWidth = lineWidth(thicknessOf(annotation) / cssPixel, isMarked) * cssPixel;
  if (annotation.origin !== "model") {
    context.stroke(path);
    return;
  }
  context.setLineDash(DASH.map((length) => length * cssPixel));
  context.stroke(path);
  context.setLineDash([]);
}

/** A ring around a shape that is too small to be seen, so that it is found. */
function drawMarker(context: CanvasRenderingContext2D, drawn: Drawn, box: BoxXyxy, cssPixel: number): void {
  context.beginPath();
  context.arc((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, MARKER_RADIUS * cssPixel, 0, 2 * Math.PI);
  context.strokeStyle = lookOf(drawn.colour).stroke;
  context.lineWidth = (drawn.isMarked ? MARKED_LINE_WIDTH : LINE_WIDTH) * cssPixel;
  context.stroke();
}

/** About how thick a shape is, pixels of the picture: of a box the shorter side, of a long thin polygon how wide it is. */
function thicknessOf(annotation: Annotation): number {
  let thickness = thicknesses.get(annotation);
  if (thickness === undefined) {
    const box = boundsOf(annotation);
    const around = (annotation.polygons ?? []).reduce((sum, ring) => sum + ringLength(ring), 0);
    thickness = around > 0 ? (2 * areaOf(annotation)) / around : box ? Math.min(boxWidth(box), boxHeight(box)) : 0;
    thicknesses.set(annotation, thickness);
  }
  return thickness;
}

function drawMask(context: CanvasRenderingContext2D, { annotation, colour, isMarked }: Drawn, cssPixel: number): void {
  const mask = maskOf(annotation, colour);
  if (!mask) return;
  context.imageSmoothingEnabled = cssPixel * 4 > 1;
  context.globalAlpha = annotation.origin === "model" ? 0.7 : 1;
  context.drawImage(mask.pixels, mask.box[0], mask.box[1]);
  if (isMarked) context.drawImage(mask.pixels, mask.box[0], mask.box[1]);
  if (mask.outline) {
    context.strokeStyle = lookOf(colour).stroke;
    context.lineWidth = lineWidth(mask.thickness / cssPixel, isMarked) * cssPixel;
    context.stroke(mask.outline);
  }
  context.globalAlpha = 1;
}

/** The outline of a box or of polygons; null for a mask and for the label of a whole picture. */
export function pathOf(annotation: Annotation): Path2D | null {
  const known = paths.get(annotation);
  if (known) return known;
  const path = makePath(annotation);
  if (path) paths.set(annotation, path);
  return path;
}

/** Where a mask's name stands; null for other shapes. */
export function anchorOf(
  annotation: Annotation,
  colour: string | undefined,
): { readonly x: number; readonly y: number } | null {
  return annotation.mask ? (maskOf(annotation, colour)?.anchor ?? null) : null;
}

function maskOf(annotation: Annotation, colour: string | undefined): MaskPicture | null {
  const known = masks.get(annotation);
  if (known && known.colour === colour) return known.picture;
  const picture = annotation.mask ? makeMaskPicture(annotation.mask, colour) : null;
  masks.set(annotation, { colour, picture });
  return picture;
}

function makePath({ box_xyxy: box, polygons }: Annotation): Path2D | null {
  const path = new Path2D();
  if (polygons) for (const ring of polygons) addRing(path, ring);
  else if (box) path.rect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
  else return null;
  return path;
}

function addRing(path: Path2D, ring: Ring): void {
  path.moveTo(ring[0] ?? 0, ring[1] ?? 0);
  for (let index = 2; index + 1 < ring.length; index += 2) path.lineTo(ring[index] ?? 0, ring[index + 1] ?? 0);
  path.closePath();
}
