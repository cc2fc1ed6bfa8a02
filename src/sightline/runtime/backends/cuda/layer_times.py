"""How long each step of a network takes: a clock of the device before and behind each, over several inferences."""

import statistics
import time
from typing import Any

import torch

from sightline.runtime.backend import LayerRow
from sightline.runtime.backends.cuda.fusing import list_sources
from sightline.runtime.backends.cuda.network import BoundNetwork, BoundStep, Values

CYCLES_A_STEP = 40_000  # about 20 microseconds, which the device waits first: when it begins all is launched, and no step waits
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
        if self._device.type == "cuda":
            torch.cuda._sleep(CYCLES_A_STEP * len(network.steps))
        marks = [self._mark()]
        outputs = network.run(inputs, lambda: marks.append(self._mark()))
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        for bound, before, after in zip(network.steps, marks, marks[1:], strict=False):
            self._times_us.setdefault(bound.step.node.name, []).append(_measure_us(before, after))
        self._steps = network.steps
        self.inference_count += 1
        return outputs

    def list_rows(self) -> list[LayerRow]:
        """A row for each step, in order. The first inference, which loads kernels, counts only when it is the only one."""
        medians = {name: statistics.median(times[1:] or times) for name, times in self._times_us.items()}
        total = sum(medians.values()) or 1.0
        return [
            LayerRow(
                name=step.node.name,
                source_layers=list_sources(step.node),
                kind=step.node.kind,
                primitive=f"torch {step.node.kind}",
                precision=NAMES[step.dtype],
                time_us=medians[step.node.name],
                share=medians[step.node.name] / total,
            )
            for step in (bound.step for bound in self._steps)
        ]

    def _mark(self) -> Any:
        """A moment of the device's clock."""
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def _measure_us(before: Any, after: Any) -> float:
    """Microseconds from one mark to the next."""
    return (after - before) * 1e6 if isinstance(before, float) else 1e3 * float(before.elapsed_time(after))
