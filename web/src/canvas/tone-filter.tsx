import { type Tone, toneTable } from "./tone";

/** A filter of this name, which shows a picture in a tone. */
export function ToneFilter({ id, tone }: { id: string; tone: Tone }) {
  const table = toneTable(tone)
    .map((level) => level.toFixed(4))
    .join(" ");
  return (
    <svg width="0" height="0" style={{ position: "absolute" }} aria-hidden="true">
      {/* Tables speak of levels as pixels have them, not of light. */}
      <filter id={id} colorInterpolationFilters="sRGB" x="0" y="0" width="1" height="1">
        <feComponentTransfer>
          <feFuncR type="table" tableValues={table} />
          <feFuncG type="table" tableValues={table} />
          <feFuncB type="table" tableValues={table} />
        </feComponentTransfer>
      </filter>
    </svg>
  );
}
