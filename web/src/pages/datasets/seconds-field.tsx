import { TextField } from "../../ui/field";
import { describeSampling, readSeconds } from "./videos";

/** How many seconds lie between the frames of videos that become pictures. */
export function SecondsField({ value, onChange }: { value: string; onChange: (typed: string) => void }) {
  const everyS = readSeconds(value);
  return (
    <TextField
      label="Of videos, a frame every … seconds"
      value={value}
      inputMode="decimal"
      autoComplete="off"
      hint={everyS === null ? undefined : describeSampling(everyS)}
      error={everyS === null ? "A number above 0, such as 1 or 0.2" : undefined}
      onChange={(event) => onChange(event.target.value)}
    />
  );
}
