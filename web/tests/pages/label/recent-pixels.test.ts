import { expect, test } from "vitest";
import { RecentPixels } from "../../../src/pages/label/recent-pixels";

const namesKept = (recent: RecentPixels<string>, names: string) => [...names].filter((name) => recent.use(name));

test("what was used longest ago makes room when there are too many", () => {
  const recent = new RecentPixels<string>(3, 1000);
  for (const name of "abc") recent.keep(name, name, 1);
  recent.use("a");
  recent.keep("d", "d", 1);
  expect(namesKept(recent, "abcd")).toEqual(["a", "c", "d"]);
});

test("large ones make room sooner", () => {
  const recent = new RecentPixels<string>(4, 100);
  for (const name of "abc") recent.keep(name, name, 45);
  expect(namesKept(recent, "abc")).toEqual(["b", "c"]);
});

test("what is shown and what comes next stay, however large they are", () => {
  const recent = new RecentPixels<string>(4, 100);
  for (const name of "abc") recent.keep(name, name, 500);
  expect(namesKept(recent, "abc")).toEqual(["b", "c"]);
});

test("what is dropped or kept again counts once", () => {
  const recent = new RecentPixels<string>(4, 100);
  recent.keep("a", "a", 60);
  recent.keep("a", "other", 60);
  recent.drop("unknown");
  recent.drop("a");
  for (const name of "bcd") recent.keep(name, name, 30);
  expect(namesKept(recent, "abcd")).toEqual(["b", "c", "d"]);
});
