/** The part of an Artifact's `report.json` that its page shows: what the gate checked, and how fast each candidate ran. */

export type GateCheck = { readonly name: string; readonly passed: boolean; readonly text: string };
export type Candidate = {
  readonly name: string;
  readonly precision: string;
  readonly sizeBytes: number;
  /** Pictures a second at its fastest setting; null where it was not timed. */
  readonly throughput: number | null;
  readonly isChosen: boolean;
  readonly verdict: string;
};
export type GateReport = {
  readonly checks: readonly GateCheck[];
  /** The fastest first; those that were not timed last. */
  readonly candidates: readonly Candidate[];
  readonly warnings: readonly string[];
};

type Written = {
  chosen?: string | null;
  warnings?: string[];
  candidates?: {
    name: string;
    precision: string;
    size_bytes: number;
    best: { throughput: number } | null;
    gate: { checks: GateCheck[] } | null;
    verdict: string;
  }[];
};

export function readGateReport(text: string): GateReport {
  const { chosen, candidates = [], warnings = [] } = JSON.parse(text) as Written;
  const rows = candidates.map(({ name, precision, size_bytes, best, verdict }) => ({
    name,
    precision,
    sizeBytes: size_bytes,
    throughput: best?.throughput ?? null,
    isChosen: name === chosen,
    verdict,
  }));
  return {
    checks: candidates.find(({ name }) => name === chosen)?.gate?.checks ?? [],
    candidates: rows.sort((one, other) => (other.throughput ?? -1) - (one.throughput ?? -1)),
    warnings,
  };
}

/** How much faster the chosen candidate is than the fastest in FP32; null where one of them was not timed. */
export function findSpeedup({ candidates }: GateReport): number | null {
  const chosen = candidates.find(({ isChosen }) => isChosen)?.throughput;
  const plain = candidates.find(({ precision, throughput }) => precision === "fp32" && throughput !== null)?.throughput;
  return chosen && plain ? chosen / plain : null;
}

/** A change of a share in points: "−0.30 points". */
export function formatPoints(change: number): string {
  const points = (Math.abs(change) * 100).toFixed(2);
  const sign = Number(points) === 0 ? "±" : change < 0 ? "−" : "+";
  return `${sign}${points} points`;
}
