import { type PointerEvent, useEffect, useId, useRef, useState } from "react";
import styles from "./line-chart.module.css";
import { type ChartPoint, drawLine, findNearest, findTicks, formatValue, makeScale, roundSpan, spanOf } from "./scale";

export type Series = {
  readonly name: string;
  readonly points: readonly ChartPoint[];
  readonly look?: "main" | "second";
};

type Props = {
  title: string;
  /** What x counts, "step". */
  xName: string;
  /** At most two; the first is drawn over the other, and the first with points is the one that the pointer follows. */
  series: readonly Series[];
  /** Whether y begins at 0, as shares and losses do. */
  fromZero?: boolean;
  height?: number;
};

const LEFT = 48;
const RIGHT = 12;
const TOP = 10;
const BOTTOM = 26;

/** Lines over one axis, with the values under the pointer; the arrow keys go from point to point, too. */
export function LineChart({ title, xName, series, fromZero = false, height = 210 }: Props) {
  const [place, setPlace] = useState<number | null>(null);
  const [ref, width] = useWidth();
  const titleId = useId();
  const followed = series.find(({ points }) => points.length > 0)?.points ?? [];
  const at = place === null ? undefined : followed[Math.min(place, followed.length - 1)];
  const shown = at ?? followed.at(-1);
  const axes = makeAxes(series, width, height, fromZero);
  const follow = (event: PointerEvent<SVGSVGElement>) => {
    const left = event.currentTarget.getBoundingClientRect().left;
    setPlace(findNearest(followed, axes.x.toValue(event.clientX - left)));
  };
  return (
    <figure className={styles.chart} aria-labelledby={titleId}>
      <figcaption>
        <h3 id={titleId}>{title}</h3>
        {shown && <Legend series={series} x={shown.x} xName={xName} />}
      </figcaption>
      <div ref={ref} className={styles.plot}>
        <svg
          width={width}
          height={height}
          aria-hidden="true"
          onPointerMove={follow}
          onPointerLeave={() => setPlace(null)}
        >
          <Axes axes={axes} width={width} height={height} xName={xName} />
          {series.toReversed().map(({ name, points, look = "main" }) => (
            <Line key={name} points={points} look={look} axes={axes} at={at} />
          ))}
          {at && <path className={styles.cursor} d={`M${axes.x.toPixels(at.x)} ${TOP}V${height - BOTTOM}`} />}
        </svg>
        {followed.length > 0 && (
          <input
            className={styles.keys}
            type="range"
            min={0}
            max={followed.length - 1}
            value={place ?? followed.length - 1}
            aria-label={`${title}: point of the curve`}
            aria-valuetext={shown && `${xName} ${formatValue(shown.x)}: ${readValues(series, shown.x)}`}
            onChange={(event) => setPlace(event.target.valueAsNumber)}
            onBlur={() => setPlace(null)}
          />
        )}
      </div>
    </figure>
  );
}

type Axes = ReturnType<typeof makeAxes>;

function makeAxes(series: readonly Series[], width: number, height: number, fromZero: boolean) {
  const points = series.flatMap((one) => one.points);
  const xSpan = spanOf(points.map(({ x }) => x)) ?? [0, 1];
  const [low, high] = spanOf(points.map(({ y }) => y)) ?? [0, 1];
  const yTicks = Math.max(2, Math.floor(height / 45));
  const ySpan = roundSpan(fromZero ? [Math.min(0, low), high > 0 ? high : 1] : [low, high], yTicks);
  const xTicks = Math.max(2, Math.floor(width / 90));
  return {
    x: makeScale(xSpan[0] === xSpan[1] ? [xSpan[0] - 1, xSpan[1] + 1] : xSpan, [
      LEFT,
      Math.max(width - RIGHT, LEFT + 1),
    ]),
    y: makeScale(ySpan, [height - BOTTOM, TOP]),
    xTicks: points.length > 0 ? findTicks(xSpan, xTicks) : [],
    yTicks: points.length > 0 ? findTicks(ySpan, yTicks) : [],
  };
}

function Axes({ axes, width, height, xName }: { axes: Axes; width: number; height: number; xName: string }) {
  return (
    <>
      {axes.yTicks.map((tick) => (
        <g key={tick} transform={`translate(0 ${axes.y.toPixels(tick)})`}>
          <path className={styles.grid} d={`M${LEFT} 0H${width - RIGHT}`} />
          <text className={styles.tick} x={LEFT - 8} dy="0.32em" textAnchor="end">
            {formatValue(tick)}
          </text>
        </g>
      ))}
      {axes.xTicks.map((tick, place) => (
        <text
          key={tick}
          className={styles.tick}
          x={axes.x.toPixels(tick)}
          y={height - 8}
          textAnchor={axes.x.toPixels(tick) > width - 34 ? "end" : "middle"}
        >
          {place === axes.xTicks.length - 1 ? `${xName} ${formatValue(tick)}` : formatValue(tick)}
        </text>
      ))}
      <path className={styles.axis} d={`M${LEFT} ${height - BOTTOM}H${width - RIGHT}`} />
    </>
  );
}

type LineProps = Required<Pick<Series, "points" | "look">> & { axes: Axes; at: ChartPoint | undefined };

function Line({ points, look, axes, at }: LineProps) {
  const near = at && points[findNearest(points, at.x)];
  return (
    <g className={styles[look]}>
      <path className={styles.line} d={drawLine(points, axes.x, axes.y)} />
      {points.length === 1 && points[0] && <Dot point={points[0]} axes={axes} />}
      {near && <Dot point={near} axes={axes} />}
    </g>
  );
}

function Dot({ point, axes }: { point: ChartPoint; axes: Axes }) {
  return <circle className={styles.dot} cx={axes.x.toPixels(point.x)} cy={axes.y.toPixels(point.y)} r="3.5" />;
}

function Legend({ series, x, xName }: { series: readonly Series[]; x: number; xName: string }) {
  return (
    <p className={styles.legend}>
      <span>
        {xName} {formatValue(x)}
      </span>
      {series.map(({ name, points, look = "main" }) => {
        const near = points[findNearest(points, x)];
        return (
          near && (
            <span key={name} className={styles[look]}>
              <svg className={styles.swatch} viewBox="0 0 14 4" aria-hidden="true">
                <path className={styles.line} d="M0 2H14" />
              </svg>
              {name} <b>{formatValue(near.y)}</b>
            </span>
          )
        );
      })}
    </p>
  );
}

function readValues(series: readonly Series[], x: number): string {
  return series
    .flatMap(({ name, points }) => {
      const near = points[findNearest(points, x)];
      return near ? [`${name} ${formatValue(near.y)}`] : [];
    })
    .join(", ");
}

/** The width of an element, followed as the page changes. */
function useWidth() {
  const ref = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(480);
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, width] as const;
}
