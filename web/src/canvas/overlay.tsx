/** What the hand holds, above everything painted: chosen shapes with their handles, the shape being drawn, the rubber band, the brush. */
import { type CSSProperties, useMemo, useSyncExternalStore } from "react";
import type { Editor } from "../editor/editor";
import type { EditorSnapshot } from "../editor/snapshot";
import type { Preview } from "../editor/tool";
import { HANDLES, handlePoint } from "../geometry/boxes";
import type { BoxXyxy, Size } from "../geometry/points";
import { toScreen, type View } from "../geometry/view";
import { findLabel } from "../labels/document";
import { boundsOf, geometryOf } from "../labels/shapes";
import type { Colours } from "./colours";
import { type Lifted, liftShapes } from "./lifting";
import { boxOutline, findHandles, lineOutline, outlineOf, peakOf, ringOutline, vertexAt } from "./outline";
import styles from "./overlay.module.css";
import { PLATE_HEIGHT, plateWidth, shorten } from "./plates";
import { lookOf, sizeText, tagText } from "./style";

/** CSS pixels of a shape below which handles on it would hide it. */
const LEAST_ROOM = 16;

type Props = { editor: Editor; colours: Colours; canvas: Size };

export function Overlay({ editor, colours, canvas }: Props) {
  const snapshot = useSyncExternalStore(editor.subscribe, editor.getSnapshot);
  const { document, selection, hidden, preview, view } = snapshot;
  const { lifted } = useMemo(
    () => liftShapes({ document, selection, hidden, preview }),
    [document, selection, hidden, preview],
  );
  const alone = selection.size === 1 ? lifted.find(({ isSelected }) => isSelected) : undefined;
  return (
    <svg className={styles.overlay} aria-hidden="true">
      <Hovered snapshot={snapshot} colours={colours} />
      {lifted.map((shape) => (
        <Shape key={shape.id} shape={shape} view={view} colours={colours} />
      ))}
      <MaskFrame snapshot={snapshot} colours={colours} />
      {alone && <Handles shape={alone} view={view} canvas={canvas} preview={preview} colours={colours} />}
      {preview && <Drawing preview={preview} view={view} canvas={canvas} colours={colours} />}
    </svg>
  );
}

function Shape({ shape, view, colours }: { shape: Lifted; view: View; colours: Colours }) {
  const { annotation } = shape;
  const outline = outlineOf(annotation, view);
  const proposed = annotation.origin === "model" ? styles.proposed : "";
  return (
    <g style={coloured(colours.get(annotation.category))}>
      <path d={outline} className={styles.casing} />
      <path d={outline} className={`${styles.line} ${styles.filled} ${proposed}`} />
    </g>
  );
}

/** A chosen mask is painted on the canvas; here is the box around it. */
function MaskFrame({ snapshot, colours }: { snapshot: EditorSnapshot; colours: Colours }) {
  const { selection, document, hidden, preview, view } = snapshot;
  const [id] = selection;
  if (selection.size !== 1 || id === undefined || hidden.has(id)) return null;
  const annotation =
    preview?.annotations.find((label) => label.id === id)?.annotation ?? findLabel(document, id)?.annotation;
  if (!annotation?.mask) return null;
  return (
    <g style={coloured(colours.get(annotation.category))}>
      <path d={outlineOf(annotation, view)} className={styles.dark} />
      <path d={outlineOf(annotation, view)} className={`${styles.light} ${styles.proposed}`} />
    </g>
  );
}

function Hovered({ snapshot, colours }: { snapshot: EditorSnapshot; colours: Colours }) {
  const { preview, selection, document, view } = snapshot;
  const id = preview?.hovered;
  const annotation = id && !selection.has(id) ? findLabel(document, id)?.annotation : undefined;
  if (!annotation || annotation.mask) return null;
  const outline = outlineOf(annotation, view);
  return (
    <g style={coloured(colours.get(annotation.category))}>
      <path d={outline} className={styles.casing} />
      <path d={outline} className={styles.hovered} />
      <Name
        text={tagText(annotation.category, annotation.confidence)}
        colour={colours.get(annotation.category)}
        {...nameAt(annotation, view)}
      />
    </g>
  );
}

function Name({ text, colour, x, y }: { text: string; colour: string | undefined; x: number; y: number }) {
  const words = shorten(text);
  const top = y >= PLATE_HEIGHT + 2 ? y - PLATE_HEIGHT - 2 : y + 3;
  return (
    <g>
      <rect x={x - 1} y={top} width={plateWidth(words)} height={PLATE_HEIGHT} rx={3} className={styles.plate} />
      <text x={x + 4} y={top + PLATE_HEIGHT / 2 + 0.5} className={styles.name} fill={lookOf(colour).letters}>
        {words}
      </text>
    </g>
  );
}

type HandlesProps = { shape: Lifted; view: View; canvas: Size; preview: Preview | null; colours: Colours };

function Handles({ shape: { annotation, id }, view, canvas, preview, colours }: HandlesProps) {
  const colour = colours.get(annotation.category);
  const isMoving = preview?.annotations.some((label) => label.id === id);
  return (
    <g style={coloured(colour)}>
      {geometryOf(annotation) === "polygons" ? (
        hasRoom(annotation, view) &&
        annotation.polygons?.map((ring, place) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a ring has no other name than its place
          <g key={place}>
            {findHandles(ring, view, canvas).map(({ index, at }) => (
              <circle key={index} cx={at.x} cy={at.y} r={4} className={styles.handle} />
            ))}
          </g>
        ))
      ) : (
        <BoxHandles annotation={annotation} view={view} />
      )}
      {[preview?.hoveredVertex, preview?.vertex].map((vertex) => {
        const ring = vertex?.id === id ? annotation.polygons?.[vertex.ring] : undefined;
        if (!vertex || !ring) return null;
        const at = vertexAt(ring, vertex.index, view);
        const chosen = vertex === preview?.vertex ? styles.chosen : "";
        return <circle key={chosen} cx={at.x} cy={at.y} r={6} className={`${styles.handle} ${chosen}`} />;
      })}
      {(!isMoving || geometryOf(annotation) === "box") && (
        <Name
          text={isMoving ? sizeText(boundsOf(annotation)) : tagText(annotation.category, annotation.confidence)}
          colour={colour}
          {...nameAt(annotation, view)}
        />
      )}
    </g>
  );
}

/** Whether handles would not hide all of a shape. */
function hasRoom(annotation: Lifted["annotation"], view: View): boolean {
  const box = boundsOf(annotation);
  return box !== null && Math.max(box[2] - box[0], box[3] - box[1]) * view.scale >= LEAST_ROOM;
}

function BoxHandles({ annotation, view }: { annotation: Lifted["annotation"]; view: View }) {
  const box = boundsOf(annotation);
  if (!box) return null;
  // Where the box is small, only its corners have room, and where it is smaller, only beside it.
  const side = Math.min(box[2] - box[0], box[3] - box[1]) * view.scale;
  const off = side < LEAST_ROOM ? 5 : 0;
  return HANDLES.filter((handle) => side >= 30 || handle.length === 2).map((handle) => {
    const { x, y } = toScreen(view, handlePoint(box, handle));
    const left = x - 4 + (handle.includes("w") ? -off : off);
    const top = y - 4 + (handle.includes("n") ? -off : off);
    return <rect key={handle} x={left} y={top} width={8} height={8} rx={1.5} className={styles.handle} />;
  });
}

type DrawingProps = { preview: Preview; view: View; canvas: Size; colours: Colours };

function Drawing({ preview, view, canvas, colours }: DrawingProps) {
  const { boxes, rings, band, strokes, brush, snap, crosshair } = preview;
  const cross = crosshair && toScreen(view, crosshair);
  return (
    <>
      {cross && <path d={`M0 ${cross.y}H${canvas.width}M${cross.x} 0V${canvas.height}`} className={styles.cross} />}
      {boxes.map(({ box, category }) => (
        <g key={box.join()} style={coloured(colours.get(category))}>
          <Traced outline={boxOutline(box, view)} colour={colours.get(category)} isFilled />
          <Name text={sizeText(box)} colour={colours.get(category)} {...cornerOf(box, view)} />
        </g>
      ))}
      {rings.map(({ ring, closed, category }) => (
        <g key={`${category} ${ring[0]} ${ring[1]}`} style={coloured(colours.get(category))}>
          <Traced outline={ringOutline(ring, view, closed)} colour={colours.get(category)} isFilled={closed} />
          {findHandles(ring, view, canvas).map(({ index, at }) => (
            <circle key={index} cx={at.x} cy={at.y} r={3.5} className={styles.handle} />
          ))}
        </g>
      ))}
      {band && <path d={boxOutline(band, view)} className={styles.dark} />}
      {band && <path d={boxOutline(band, view)} className={styles.band} />}
      {strokes.map((stroke) => (
        <DrawnStroke key={`${stroke.adds} ${stroke.points[0]?.x} ${stroke.points[0]?.y}`} stroke={stroke} view={view} />
      ))}
      {snap && <Ringed at={toScreen(view, snap)} radius={7} />}
      {brush && <Ringed at={toScreen(view, brush.at)} radius={brush.radius * view.scale} isDashed={brush.erases} />}
    </>
  );
}

/** Green adds, red takes away. */
function DrawnStroke({ stroke: { points, adds }, view }: { stroke: Preview["strokes"][number]; view: View }) {
  const line = lineOutline(points, view);
  return (
    <>
      <path d={line} className={styles.strokeCasing} />
      <path d={line} className={`${styles.stroke} ${adds ? "" : styles.takes}`} />
    </>
  );
}

function Traced({ outline, colour, isFilled }: { outline: string; colour: string | undefined; isFilled: boolean }) {
  return (
    <g style={coloured(colour)}>
      <path d={outline} className={styles.casing} />
      <path d={outline} className={`${styles.line} ${isFilled ? styles.filled : ""}`} />
    </g>
  );
}

function Ringed({
  at,
  radius,
  isDashed = false,
}: {
  at: { x: number; y: number };
  radius: number;
  isDashed?: boolean;
}) {
  const circle = { cx: at.x, cy: at.y, r: Math.max(1, radius) };
  return (
    <>
      <circle {...circle} className={styles.dark} />
      <circle {...circle} className={`${styles.light} ${isDashed ? styles.proposed : ""}`} />
    </>
  );
}

/** Where a name stands: above the topmost point of an outline, at the corner of a box. */
function nameAt(annotation: Lifted["annotation"], view: View): { x: number; y: number } {
  const box = boundsOf(annotation) ?? [0, 0, 0, 0];
  const { x: left, y: top } = cornerOf(box, view);
  if (geometryOf(annotation) !== "polygons" || !annotation.polygons) return { x: left, y: top };
  const width = plateWidth(shorten(tagText(annotation.category, annotation.confidence)));
  const middle = peakOf(annotation.polygons).x * view.scale + view.left - width / 2;
  return { x: Math.max(left, Math.min(middle, box[2] * view.scale + view.left - width)), y: top - 2 };
}

function cornerOf([left, top]: BoxXyxy, view: View): { x: number; y: number } {
  return { x: left * view.scale + view.left, y: top * view.scale + view.top };
}

function coloured(colour: string | undefined): CSSProperties {
  return { "--colour": lookOf(colour).stroke } as CSSProperties;
}
