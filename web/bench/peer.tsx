/**
 * The peer of the benchmark: a picture with polygons in the way that is usual with React, an SVG element for each polygon behind
 * `React.memo`. It can be moved, zoomed, clicked, and vertices can be dragged; there is nothing else around it.
 */
import { memo, type PointerEvent, useEffect, useRef, useState } from "react";
import { createRoot } from "react-dom/client";
import { screenPoint } from "../src/geometry/points";
import { moveVertex } from "../src/geometry/rings";
import { fitView, panView, toImage, type View, zoomView } from "../src/geometry/view";
import type { LabelledItem } from "../src/labels/annotation";

const ITEM = "/v1/datasets/bench/items/0";
const COLOURS: Record<string, string> = {
  bolt: "#e6194b",
  crack: "#3cb44b",
  dent: "#4363d8",
  rust: "#f58231",
  scratch: "#911eb4",
};

type Shape = { readonly id: string; readonly ring: readonly number[]; readonly colour: string };
type Grip = { readonly pans: true } | { readonly pans: false; readonly index: number };

const Polygon = memo(
  ({ shape, isChosen, onChoose }: { shape: Shape; isChosen: boolean; onChoose: (id: string) => void }) => (
    <path
      d={`M${shape.ring.join(" ")}Z`}
      fill={shape.colour}
      fillOpacity={isChosen ? 0.38 : 0.16}
      stroke={shape.colour}
      strokeWidth={isChosen ? 2.5 : 1.5}
      vectorEffect="non-scaling-stroke"
      onPointerDown={() => onChoose(shape.id)}
    />
  ),
);

function Peer({ item }: { item: LabelledItem }) {
  const svg = useRef<SVGSVGElement>(null);
  const grip = useRef<Grip | null>(null);
  const [view, setView] = useState<View>({ scale: 1, left: 0, top: 0 });
  const [shapes, setShapes] = useState<readonly Shape[]>(() => readShapes(item));
  const [chosen, setChosen] = useState<string | null>(null);
  useEffect(() => {
    const element = svg.current;
    if (!element) return;
    setView(fitView(item, { width: element.clientWidth, height: element.clientHeight }));
    const turn = (event: WheelEvent) => {
      event.preventDefault();
      const { left, top } = element.getBoundingClientRect();
      const at = screenPoint(event.clientX - left, event.clientY - top);
      setView((before) => zoomView(before, at, Math.exp(-event.deltaY * 0.002)));
    };
    element.addEventListener("wheel", turn, { passive: false });
    return () => element.removeEventListener("wheel", turn);
  }, [item]);

  const move = (event: PointerEvent) => {
    const held = grip.current;
    if (!held) return;
    if (held.pans) {
      setView((before) => panView(before, event.movementX, event.movementY));
      return;
    }
    const { left, top } = event.currentTarget.getBoundingClientRect();
    const to = toImage(view, screenPoint(event.clientX - left, event.clientY - top));
    setShapes((before) =>
      before.map((shape) => (shape.id === chosen ? { ...shape, ring: moveVertex(shape.ring, held.index, to) } : shape)),
    );
  };
  const hold = (event: PointerEvent) => {
    event.currentTarget.setPointerCapture(event.pointerId);
    if (event.button === 1) grip.current = { pans: true };
  };
  const ring = shapes.find(({ id }) => id === chosen)?.ring ?? [];
  return (
    // biome-ignore lint/a11y/noSvgWithoutTitle: a page that only a benchmark opens
    <svg
      ref={svg}
      data-svg
      width="100%"
      height="100%"
      onPointerDown={hold}
      onPointerMove={move}
      onPointerUp={() => (grip.current = null)}
    >
      <g transform={`translate(${view.left} ${view.top}) scale(${view.scale})`}>
        <image href={`${ITEM}/picture`} width={item.width} height={item.height} />
        {shapes.map((shape) => (
          <Polygon key={shape.id} shape={shape} isChosen={shape.id === chosen} onChoose={setChosen} />
        ))}
        {Array.from({ length: ring.length / 2 }, (_, index) => (
          <circle
            // biome-ignore lint/suspicious/noArrayIndexKey: a vertex has no other name
            key={index}
            cx={ring[2 * index]}
            cy={ring[2 * index + 1]}
            r={4 / view.scale}
            fill="white"
            onPointerDown={() => {
              grip.current = { pans: false, index };
            }}
          />
        ))}
      </g>
    </svg>
  );
}

function readShapes(item: LabelledItem): readonly Shape[] {
  return item.labels.map(({ id, annotation }) => ({
    id,
    ring: annotation.polygons?.[0] ?? [],
    colour: COLOURS[annotation.category] ?? "gray",
  }));
}

function App() {
  const [item, setItem] = useState<LabelledItem | null>(null);
  useEffect(() => {
    fetch(ITEM).then(async (response) => setItem(await response.json()));
  }, []);
  return <div data-stage={item ? "ready" : "empty"}>{item && <Peer item={item} />}</div>;
}

const root = document.getElementById("root");
if (root) createRoot(root).render(<App />);
