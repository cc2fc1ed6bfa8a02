"""The seam between a network and its operators: a Node says what to compute, an Operator computes it with PyTorch.

An operator runs inside CUDA graph capture. So it never waits for the device, never asks for a number that lies there, and
copies nothing to it; what it must know beforehand are its `parameters`, which lie in the host's memory. It writes into no
operand, but may return one, or a view of one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from sightline.core.errors import Unsupported


@dataclass(frozen=True)
class Node:
    """A node of an ONNX graph.

    Attributes:
        name: of the node, or of its first output.
        kind: operator: "Conv", "Relu", ...
        inputs: names, "" for one left out.
        outputs: names, "" for one left out.
        attributes: as Python values; text as str, tensors as `torch.Tensor` of the CPU.
        opset: of the graph.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    opset: int


class Operator(NamedTuple):
    """How nodes of one kind are computed.

    Attributes:
        run: `run(node, *operands)` gives a tensor, or a tuple of them, one for each output. Operands are tensors, or None for
            inputs left out.
        parameters: places of the inputs whose numbers must be known before the network runs (the shape of a Reshape, the
            axes of a reduction); `run` always gets them as tensors of the CPU.
        wide: computed in FP32 even where the network runs in FP16 or BF16, which would overflow in it or lose it.
    """

    run: Callable[..., torch.Tensor | tuple[torch.Tensor, ...]]
    parameters: tuple[int, ...] = ()
    wide: bool = False


def refuse(node: Node, expected: str, got: str) -> Unsupported:
    """The error for a form of an operator that is not offered."""
    return Unsupported(f"{node.kind} {node.name!r}: expected {expected}, got {got}; run this network on another device")
