/** What the name of a frame tells people: an import names it by its video, its number and its time in the video. */

/** As in `line.mp4/000012_00h00m00s480.png`. */
const FRAME = /(?:^|\/)(\d{6,})_(\d\d+)h(\d\d)m(\d\d)s(\d{3})\.png$/;

/** "0:00.480" or "1:02:03.480"; null for a name that tells no time. */
export function readFrameTime(fileName: string): string | null {
  const [, , hours, minutes, seconds, thousandths] = FRAME.exec(fileName) ?? [];
  if (hours === undefined) return null;
  const clock = Number(hours) > 0 ? `${Number(hours)}:${minutes}` : `${Number(minutes)}`;
  return `${clock}:${seconds}.${thousandths}`;
}

/** What tells a frame from others of its video: its time, or the last part of its name. */
export function shortFrameName(fileName: string): string {
  return readFrameTime(fileName) ?? fileName.split("/").pop() ?? fileName;
}
