"""Nodes that follow each other become one where the device has a kernel for them: fewer passes over the same memory.

A convolution takes the ReLU behind it along, and the Add between them; `x * sigmoid(x)` and `x * hardsigmoid(x)` are one
activation. Nothing is fused across a tensor that someone else reads, or that is an output.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from sightline.runtime.backends.cuda.operators.activations import ACTIVATIONS
from sightline.runtime.backends.cuda.operators.convolutions import run_conv
from sightline.runtime.backends.cuda.operators.operator import Node, Operator
from sightline.runtime.backends.cuda.operators.windows import read_window

FUSED_CONV = "FusedConv"  # as ONNX Runtime calls a convolution with what follows it
GATES = {"Sigmoid": "Silu", "HardSigmoid": "HardSwish"}


@dataclass(frozen=True)
class FusedNode(Node):
    """A node in place of several. Attributes: sources: names of the graph's own, in their order."""

    sources: tuple[str, ...] = ()


def list_sources(node: Node) -> tuple[str, ...]:
    """Names of the graph's nodes that a node stands for."""
    return node.sources if isinstance(node, FusedNode) else (node.name,)


def fuse_nodes(nodes: Sequence[Node], kept: set[str]) -> list[Node]:
    """The nodes in order, some of them fused; each fused one stands where the last of its sources stood.

    Args: kept: tensors that are needed themselves.
    """
    readers: dict[str, list[Node]] = {}
    for node in nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    alone = {name: found[0] for name, found in readers.items() if len(found) == 1 and name not in kept}
    fused: dict[str, FusedNode] = {}  # by the output of the last source
    gone: set[int] = set()
    for node in nodes:
        made = _fuse_conv(node, alone) or _fuse_gate(node, readers, kept)
        if made is not None and not gone & set(map(id, made[1])):
            fused[made[0].outputs[0]] = made[0]
            gone.update(map(id, made[1]))
    return [fused.get(node.outputs[0], node) for node in nodes if node.outputs[0] in fused or id(node) not in gone]


def _fuse_conv(node: Node, alone: Mapping[str, Node]) -> tuple[FusedNode, list[Node]] | None:
    """A convolution of one group with the ReLU that alone reads it, be it behind an Add."""
    if node.kind != "Conv" or node.attributes.get("group", 1) != 1:
        return None
    sources, behind = [node], alone.get(node.outputs[0])
    operands = [*node.inputs, *[""] * (3 - len(node.inputs))]
    if behind is not None and behind.kind == "Add":
        other = [name for name in behind.inputs if name != node.outputs[0]]
        if len(other) != 1:
            return None
        operands += other
        sources.append(behind)
        behind = alone.get(behind.outputs[0])
    if behind is None or behind.kind != "Relu":
        return None
    sources.append(behind)
    return _replace(sources, FUSED_CONV, tuple(operands)), sources


def _fuse_gate(node: Node, readers: Mapping[str, list[Node]], kept: set[str]) -> tuple[FusedNode, list[Node]] | None:
    """`x * gate(x)`, of which only the product is read."""
    slope, middle = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
    if node.kind not in GATES or (node.kind == "HardSigmoid" and (round(slope, 6), middle) != (0.166667, 0.5)):
        return None
    found = readers.get(node.outputs[0], [])
    pair = (node.inputs[0], node.outputs[0])
    if len(found) != 1 or found[0].kind != "Mul" or set(found[0].inputs) != set(pair) or node.outputs[0] in kept:
        return None
    return _replace([node, found[0]], GATES[node.kind], (node.inputs[0],)), [node, found[0]]


def _replace(sources: Sequence[Node], kind: str, inputs: tuple[str, ...]) -> FusedNode:
    first, last = sources[0], sources[-1]
    return FusedNode(
        name=first.name,
        kind=kind,
        inputs=inputs,
        outputs=last.outputs,
        attributes=first.attributes if kind == FUSED_CONV else {},
        opset=first.opset,
        sources=tuple(source.name for source in sources),
    )


def run_fused_conv(
    node: Node, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, added: torch.Tensor | None = None
) -> torch.Tensor:
    """The convolution, plus what is added, cut at zero: by one kernel of cuDNN, or one after the other where it has none."""
    window = read_window(node, x.shape[2:], weight.shape[2:])
    shape = conv_shape(x, weight, window.strides, window.pads, window.extents)
    if not (x.is_cuda and x.ndim == 4 and window.is_even) or (added is not None and added.shape != shape):
        y = run_conv(node, x, weight, bias)
        return F.relu(y if added is None else y + added)
    layout = torch.channels_last if x.dtype != torch.float32 else torch.contiguous_format
    x, geometry = x.contiguous(memory_format=layout), (window.strides, window.befores, window.dilations, 1)
    if added is None:
        return torch.cudnn_convolution_relu(x, weight, bias, *geometry)
    return torch.cudnn_convolution_add_relu(x, weight, added.contiguous(memory_format=layout), 1.0, bias, *geometry)


def conv_shape(
    x: torch.Tensor,
    weight: torch.Tensor,
    strides: Sequence[int],
    pads: Sequence[tuple[int, int]],
    extents: Sequence[int],
) -> tuple[int, ...]:
    """Shape of a convolution's output."""
    sizes = zip(x.shape[2:], strides, pads, extents, strict=True)
    return (x.shape[0], weight.shape[0], *((size + sum(pad) - extent) // stride + 1 for size, stride, pad, extent in sizes))


def run_silu(node: Node, x: torch.Tensor) -> torch.Tensor:
    """`x * sigmoid(x)`."""
    return F.silu(x)


FUSED_OPERATORS: dict[str, Operator] = {
    FUSED_CONV: Operator(run_fused_conv),
    "Silu": Operator(run_silu),
    "HardSwish": ACTIVATIONS["HardSwish"],
}
