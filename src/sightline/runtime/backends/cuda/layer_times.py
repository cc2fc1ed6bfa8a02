"""How long each step of a network takes: a clock of the device before and behind each, over several inferences."""

import statistics
import time

import torch

from sightline.runtime.backend import LayerRow
from sightline.runtime.backends.cuda.fusing import list_sources
from sightline.runtime.backends.cuda.network import BoundNetwork, BoundStep, Values, convert_float, run_step

CYCLES_A_STEP = (
    40_000  # that the device first waits, about 20 microseconds: all is launched by then, and no step waits for the CPU
)
NAMES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}


class LayerTimes:
    """Times of the steps by node, in microseconds. Args: device: whose clock it is."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._steps: list[BoundStep] = []
        self._times_us: dict[str, list[float]] = {}
        self.inference_count = 0

    def run(self, network: BoundNetwork, inputs: Values) -> Values:
        """As `BoundNetwork.run`, taking the time of each step."""
        values = {**inputs, **network.known}
        if self._device.type == "cuda":
            torch.cuda._sleep(CYCLES_A_STEP * len(network.steps))
        marks = [self._mark()]
        for bound in network.steps:
            run_step(bound, values)
            marks.append(self._mark())
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        for bound, before, after in zip(network.steps, marks, marks[1:], strict=False):
            self._times_us.setdefault(bound.step.node.name, []).append(_measure_us(before, after))
        self._steps = network.steps
        self.inference_count += 1
        return {name: convert_float(values[name], dtype) for name, dtype in network.outputs.items()}

    def list_rows(self) -> list[LayerRow]:
        """A row for each step, in order. The first inference, which loads kernels, counts only when it is the only one."""
        medians = {name: statistics.median(times[1:] or times) for name, times in self._times_us.items()}
        total = sum(medians.values()) or 1.0
        return [
            LayerRow(
                name=step.node.name,
                source_layers=list_sources(step.node),
                kind=step.node.kind,
                primitive=f"torch {step.operator.run.__name__}",
                precision=NAMES[step.dtype],
                time_us=medians[step.node.name],
                share=medians[step.node.name] / total,
            )
            for step in (bound.step for bound in self._steps)
        ]

    def _mark(self) -> "torch.cuda.Event | float":
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def _measure_us(before: "torch.cuda.Event | float", after: "torch.cuda.Event | float") -> float:
    if isinstance(before, float) or isinstance(after, float):
        assert isinstance(before, float)
        assert isinstance(after, float)
        return (after - before) * 1e6
    return 1e3 * float(before.elapsed_time(after))
