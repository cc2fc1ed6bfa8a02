/** The pictures of buttons, drawn with one pen: 16 x 16, strokes of 1.5 in the colour of the text. */
const PATHS = {
  add: "M8 3v10M3 8h10",
  box: "M2.5 4h11v8h-11z",
  brush:
    "M13.5 2.5c-3.2 1.2-5.6 3.4-7 6.2l1.8 1.8c2.8-1.4 4.4-4.6 5.2-8zM6 9.2c-1.7 0-2.6 1-2.8 2.3-.1.9-.6 1.5-1.4 1.8 2.6 1 5.6.1 5.8-2.5",
  check: "M3 8.5l3.2 3L13 4.5",
  close: "M4 4l8 8M12 4l-8 8",
  compile: "M4.5 4.5h7v7h-7zM6.5 2v2.5M9.5 2v2.5M6.5 11.5V14M9.5 11.5V14M2 6.5h2.5M2 9.5h2.5M11.5 6.5H14M11.5 9.5H14",
  copy: "M5.5 5.5h7v7h-7zM10.5 5.5v-2h-7v7h2",
  deploy: "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.01M5 11h.01M7.5 5h3.5M7.5 11h3.5",
  edit: "M3 13l.7-2.9L10.8 3l2.2 2.2-7.1 7.1zM9.3 4.5l2.2 2.2",
  eraser: "M6 13.5h7.5M9.4 2.8l3.8 3.8-6.4 6.4H5L2.6 10.6a.8.8 0 0 1 0-1.1zM6 6.3l3.8 3.8",
  freeze: "M8 1.8v12.4M2.6 4.9l10.8 6.2M13.4 4.9L2.6 11.1M6.4 3L8 4.4 9.6 3M6.4 13L8 11.6 9.6 13",
  hidden:
    "M2.5 2.5l11 11M6.4 6.6a2.2 2.2 0 0 0 3 3M4.2 4.7C2.9 5.5 2 6.7 1.5 8c1 2.6 3.5 4.5 6.5 4.5 1.2 0 2.4-.3 3.4-.9M6.6 3.6c.4-.1.9-.1 1.4-.1 3 0 5.5 1.9 6.5 4.5-.3.8-.8 1.6-1.4 2.2",
  image: "M2.5 3h11v10h-11zM2.5 11l3.2-3.2 2.6 2.6 1.8-1.8 3.4 3.2M10.2 6.2h.01",
  keyboard: "M1.5 4h13v8h-13zM4 6.5h.01M6.7 6.5h.01M9.3 6.5h.01M12 6.5h.01M5 9.5h6",
  measure: "M2.5 12a6 6 0 1 1 11 0M8 10.5l2.8-4",
  minus: "M3 8h10",
  model: "M8 2l5.2 3v6L8 14l-5.2-3V5zM2.8 5L8 8l5.2-3M8 8v6",
  next: "M6 3.5L10.5 8 6 12.5",
  open: "M3 8h9.5M9 4.5L12.5 8 9 11.5",
  polygon: "M8 2.2l5.6 4.2-2.2 7H4.6l-2.2-7z",
  previous: "M10 3.5L5.5 8l4.5 4.5",
  propose: "M7 2.5l1.3 3.7L12 7.5 8.3 8.8 7 12.5 5.7 8.8 2 7.5l3.7-1.3zM12.5 10.5v3M11 12h3",
  queue: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 4.8V8l2.2 1.6",
  redo: "M10.5 3.5l3 3-3 3M13.5 6.5H6a3.5 3.5 0 0 0 0 7h3",
  remove: "M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5l.6 8.5h5.8l.6-8.5M6.8 7v3.6M9.2 7v3.6",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM10.4 10.4l3.1 3.1",
  select: "M3.5 2.5l9 4.3-3.9 1.3-1.5 4z",
  smart:
    "M2.5 5V2.5H5M11 2.5h2.5V5M13.5 11v2.5H11M5 13.5H2.5V11M8 5.2c2 0 3 1 3 2.6s-1.2 3-3 3-3-1.2-3-2.8S6 5.2 8 5.2z",
  stop: "M4 4h8v8H4z",
  tone: "M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 0 0 8 2.2zM8 2.2v11.6M8 5l4.6-.3M8 7.6h5.7M8 10.2l5.2.4M8 12.6l3 .1",
  train: "M4.5 3l8 5-8 5z",
  undo: "M5.5 3.5l-3 3 3 3M2.5 6.5H10a3.5 3.5 0 0 1 0 7H7",
  wand: "M2.8 13.2l6.4-6.4M7.6 5.2l3.2 3.2M11.5 1.8v3M10 3.3h3M13.4 7.2v2M12.4 8.2h2M6 2.4v1.8M5.1 3.3h1.8",
  upload: "M8 10.5v-8M4.8 5.4L8 2.2l3.2 3.2M2.5 10.5v3h11v-3",
  visible:
    "M1.5 8C2.5 5.4 5 3.5 8 3.5s5.5 1.9 6.5 4.5c-1 2.6-3.5 4.5-6.5 4.5S2.5 10.6 1.5 8zM8 10.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4z",
  warning: "M8 2.2l6.3 11.1H1.7zM8 6.5v3.2M8 11.4v.1",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg
      viewBox="0 0 16 16"
      width={size}
      height={size}
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
