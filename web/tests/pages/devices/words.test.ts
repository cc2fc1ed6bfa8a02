import { expect, test } from "vitest";
import { describeMachine, groupMissing, listPrecisions } from "../../../src/pages/devices/words";

test("a machine is described by what jobs may use of it", () => {
  const machine = { cpu: "Some CPU", cores: 1, gpus: 0, memory_bytes: 25.3e9, free_bytes: 140e9 };
  expect(describeMachine(machine)).toBe(
    "Some CPU · 1 core · no GPU · 25.3 GB of memory · 140 GB free for the workspace",
  );
  expect(describeMachine({ ...machine, cores: 64, gpus: 2 })).toContain("64 cores · 2 GPUs");
});

test("precisions stand as people write them", () => {
  expect(listPrecisions({ precisions: ["int8", "bf16"] })).toBe("INT8, BF16");
  expect(listPrecisions({ precisions: [] })).toBe("");
});

test("a reason that several engines share is said once", () => {
  const engines = [
    { name: "torch", precisions: [], missing: "no GPU" },
    { name: "openvino", precisions: ["int8"], missing: null },
    { name: "inductor", precisions: [], missing: "no GPU" },
    { name: "hls4ml", precisions: [], missing: "install it" },
  ];
  expect(groupMissing({ engines })).toEqual([
    { engines: "torch, inductor", reason: "no GPU" },
    { engines: "hls4ml", reason: "install it" },
  ]);
});
