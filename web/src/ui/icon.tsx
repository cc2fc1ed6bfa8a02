/** The pictures of buttons, drawn with one pen: 16 x 16, strokes of 1.5 in the colour of the text. */
const PATHS = {
  add: "M8 3v10M3 8h10",
  check: "M3 8.5l3.2 3L13 4.5",
  close: "M4 4l8 8M12 4l-8 8",
  copy: "M5.5 5.5h7v7h-7zM10.5 5.5v-2h-7v7h2",
  edit: "M3 13l.7-2.9L10.8 3l2.2 2.2-7.1 7.1zM9.3 4.5l2.2 2.2",
  freeze: "M8 1.8v12.4M2.6 4.9l10.8 6.2M13.4 4.9L2.6 11.1M6.4 3L8 4.4 9.6 3M6.4 13L8 11.6 9.6 13",
  image: "M2.5 3h11v10h-11zM2.5 11l3.2-3.2 2.6 2.6 1.8-1.8 3.4 3.2M10.2 6.2h.01",
  next: "M6 3.5L10.5 8 6 12.5",
  open: "M3 8h9.5M9 4.5L12.5 8 9 11.5",
  remove: "M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5l.6 8.5h5.8l.6-8.5M6.8 7v3.6M9.2 7v3.6",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM10.4 10.4l3.1 3.1",
  upload: "M8 10.5v-8M4.8 5.4L8 2.2l3.2 3.2M2.5 10.5v3h11v-3",
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
