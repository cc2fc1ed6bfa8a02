"""What it takes to quantise any of a network's convolutions: the ranges of their inputs, and their rounded weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from sightline.compiler.quantisers.convolutions import Convolution, average_patch, read_constants
from sightline.compiler.quantisers.ranges import Range, run_exposed
from sightline.compiler.quantisers.rounding import RoundedWeights, round_weights


@dataclass(frozen=True)
class Plan:
    """How to quantise a network.

    Attributes:
        model: with these convolutions in float.
        ranges: by input tensor.
        weights: by convolution.
    """

    model: onnx.ModelProto
    ranges: Mapping[str, Range]
    weights: Mapping[str, RoundedWeights]


def make_plan(
    model: onnx.ModelProto,
    input_name: str,
    samples: Sequence[np.ndarray],
    convolutions: Sequence[Convolution],
    ranges: Mapping[str, Range],
) -> Plan:
    """Round the weights of every convolution, and correct its bias by what it reads on pictures."""
    plain: dict[str, np.ndarray] = {}
    after: dict[str, np.ndarray] = {}
    for tensors in run_exposed(model, input_name, samples, list(ranges)):
        rounded = {name: ranges[name].round_trip(tensor) for name, tensor in tensors.items()}
        for one in convolutions:
            for total, side in ((plain, tensors), (after, rounded)):
                total[one.name] = total.get(one.name, 0) + average_patch(side[one.source], one) / len(samples)
    weights = read_constants(model, [one.weight for one in convolutions])
    rounded_weights = {
        one.name: round_weights(weights[one.weight], plain[one.name], after[one.name], one.groups) for one in convolutions
    }
    return Plan(model, ranges, rounded_weights)
