/** Devices, engines and the machine in words. */
import type { Device, Devices } from "../../api/types";
import { countOf, formatBytes } from "../../ui/format";

/** "AMD EPYC · 2 cores · no GPU · 25.3 GB of memory · 71.4 GB free for the workspace": what jobs may use. */
export function describeMachine({ cpu, cores, gpus, memory_bytes, free_bytes }: Omit<Devices, "devices">): string {
  return [
    cpu,
    countOf(cores, "core"),
    gpus > 0 ? countOf(gpus, "GPU") : "no GPU",
    `${formatBytes(memory_bytes)} of memory`,
    `${formatBytes(free_bytes)} free for the workspace`,
  ].join(" · ");
}

/** "INT8, BF16, FP32"; nothing where none can be used here. */
export function listPrecisions({ precisions }: Pick<Device, "precisions">): string {
  return precisions.map((precision) => precision.toUpperCase()).join(", ");
}

/** Why engines cannot be used, each reason once with the engines that it holds for. */
export function groupMissing({ engines }: Pick<Device, "engines">): { engines: string; reason: string }[] {
  const reasons = new Map<string, string[]>();
  for (const { name, missing } of engines) {
    if (missing) reasons.set(missing, [...(reasons.get(missing) ?? []), name]);
  }
  return [...reasons].map(([reason, names]) => ({ engines: names.join(", "), reason }));
}
