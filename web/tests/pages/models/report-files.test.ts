import { expect, test } from "vitest";
import { listMistakes, listPlots } from "../../../src/pages/models/report-files";

const files = [
  "mistakes/01.jpg",
  "mistakes/02.jpg",
  "plots/confusion.png",
  "plots/energy_use.png",
  "plots/latency.png",
  "plots/latency.svg",
  "report.html",
];

test("plots stand in their order, unknown ones last, by a name of their own", () => {
  expect(listPlots(files).map(({ title }) => title)).toEqual(["Confusion", "Latency", "Energy use"]);
});

test("mistakes are numbered", () => {
  expect(listMistakes(files)).toEqual([
    { file: "mistakes/01.jpg", title: "Mistake 1" },
    { file: "mistakes/02.jpg", title: "Mistake 2" },
  ]);
});
