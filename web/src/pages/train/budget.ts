/** Budgets of trainings: an amount and a unit, as the server spells them, "10min". */

export type Budget = { readonly amount: string; readonly unit: string };

const UNIT_NAMES: Readonly<Record<string, string>> = {
  s: "seconds",
  min: "minutes",
  h: "hours",
  "cpu-s": "CPU-seconds",
  "cpu-min": "CPU-minutes",
  "cpu-h": "CPU-hours",
  epoch: "epochs",
  epochs: "epochs",
  it: "steps",
};

export function nameUnit(unit: string): string {
  return UNIT_NAMES[unit] ?? unit;
}

/** "10min" as amount and unit. */
export function splitBudget(text: string): Budget {
  const [, amount = "", unit = ""] = /^([\d.]+)\s*([a-z-]+)$/.exec(text) ?? [];
  return { amount, unit };
}

/** The budget as the server takes it; null of what is no amount. */
export function joinBudget({ amount, unit }: Budget): string | null {
  const value = Number(amount);
  return amount.trim() !== "" && Number.isFinite(value) && value > 0 ? `${value}${unit}` : null;
}
