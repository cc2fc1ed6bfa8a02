import { expect, test } from "vitest";
import { joinBudget, splitBudget } from "../../../src/pages/train/budget";

test.each([
  ["10min", { amount: "10", unit: "min" }],
  ["360cpu-s", { amount: "360", unit: "cpu-s" }],
  ["1.5h", { amount: "1.5", unit: "h" }],
])("%s is an amount and a unit", (text, budget) => {
  expect(splitBudget(text)).toEqual(budget);
  expect(joinBudget(budget)).toBe(text);
});

test.each(["", "0", "-3", "many"])("%s is no amount", (amount) =>
  expect(joinBudget({ amount, unit: "min" })).toBeNull(),
);
