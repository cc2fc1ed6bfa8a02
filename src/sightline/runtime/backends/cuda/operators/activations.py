"""Functions between layers: of each number by itself, or, Softmax and its kin, of the numbers along an axis."""

import torch
from torch.nn import functional as F

from sightline.runtime.backends.cuda.operators.operator import Node, Operator

ALONG_AXIS_SINCE = 13  # before, Softmax and its kin took all axes from `axis` on as one


def run_relu(node: Node, x: torch.Tensor) -> torch.Tensor:
    """`x` where above 0, else 0."""
    return torch.relu(x)


def run_leaky_relu(node: Node, x: torch.Tensor) -> torch.Tensor:
    """`x`, below 0 times `alpha`."""
    return F.leaky_relu(x, node.attributes.get("alpha", 0.01))


def run_prelu(node: Node, x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """`x`, below 0 times a slope that is broadcast to it."""
    return torch.where(x < 0, x * slope, x)


def run_elu(node: Node, x: torch.Tensor) -> torch.Tensor:
    """`x`, below 0 `alpha (exp x - 1)`."""
    return F.elu(x, node.attributes.get("alpha", 1.0))


def run_selu(node: Node, x: torch.Tensor) -> torch.Tensor:
    """`gamma` times an Elu."""
    alpha = node.attributes.get("alpha", 1.67326319217681884765625)
    return F.elu(x, alpha) * node.attributes.get("gamma", 1.05070102214813232421875)


def run_celu(node: Node, x: torch.Tensor) -> torch.Tensor:
    """`x`, below 0 `alpha (exp(x / alpha) - 1)`."""
    return F.celu(x, node.attributes.get("alpha", 1.0))


def run_gelu(node: Node, x: torch.Tensor) -> torch.Tensor:
    """`x` times the normal distribution's share below it, or its approximation with tanh."""
    return F.gelu(x, approximate=node.attributes.get("approximate", "none"))


def run_sigmoid(node: Node, x: torch.Tensor) -> torch.Tensor:
    """`1 / (1 + exp -x)`."""
    return torch.sigmoid(x)


def run_hard_sigmoid(node: Node, x: torch.Tensor) -> torch.Tensor:
    """`alpha x + beta`, kept within 0 and 1."""
    return (x * node.attributes.get("alpha", 0.2) + node.attributes.get("beta", 0.5)).clamp(0, 1)


def run_hard_swish(node: Node, x: torch.Tensor) -> torch.Tensor:
    """`x` times `x / 6 + 1 / 2`, that kept within 0 and 1."""
    return F.hardswish(x)


def run_tanh(node: Node, x: torch.Tensor) -> torch.Tensor:
    """Hyperbolic tangent."""
    return torch.tanh(x)


def run_softplus(node: Node, x: torch.Tensor) -> torch.Tensor:
    """`log(1 + exp x)`."""
    return F.softplus(x)


def run_softsign(node: Node, x: torch.Tensor) -> torch.Tensor:
    """`x / (1 + |x|)`."""
    return F.softsign(x)


def run_mish(node: Node, x: torch.Tensor) -> torch.Tensor:
    """`x` times the tanh of its Softplus."""
    return F.mish(x)


def run_thresholded_relu(node: Node, x: torch.Tensor) -> torch.Tensor:
    """`x` where above `alpha`, else 0."""
    return torch.where(x > node.attributes.get("alpha", 1.0), x, 0)


def run_clip(node: Node, x: torch.Tensor, low: torch.Tensor | None = None, high: torch.Tensor | None = None) -> torch.Tensor:
    """`x` kept within bounds, inputs since opset 11, attributes before; the upper one wins where they cross.

    A bound left out is the last finite number of the type.
    """
    limits = torch.finfo(x.dtype) if x.is_floating_point() else torch.iinfo(x.dtype)
    least = node.attributes.get("min", limits.min) if low is None else low.item()
    most = node.attributes.get("max", limits.max) if high is None else high.item()
    return x.clamp(least, most)


def run_softmax(node: Node, x: torch.Tensor) -> torch.Tensor:
    """Exponentials that sum to 1 along `axis`."""
    return torch.softmax(_flatten_old(node, x), _find_axis(node)).reshape(x.shape)


def run_log_softmax(node: Node, x: torch.Tensor) -> torch.Tensor:
    """Logarithm of the Softmax."""
    return torch.log_softmax(_flatten_old(node, x), _find_axis(node)).reshape(x.shape)


def run_hardmax(node: Node, x: torch.Tensor) -> torch.Tensor:
    """1 at the first greatest number along `axis`, else 0."""
    flat, axis = _flatten_old(node, x), _find_axis(node)
    return torch.zeros_like(flat).scatter_(axis, flat.argmax(axis, keepdim=True), 1).reshape(x.shape)


def _find_axis(node: Node) -> int:
    return int(node.attributes.get("axis", -1)) if node.opset >= ALONG_AXIS_SINCE else 1


def _flatten_old(node: Node, x: torch.Tensor) -> torch.Tensor:
    """`x` itself, or, of an old opset, a matrix with the axes before `axis` and those from it on."""
    if node.opset >= ALONG_AXIS_SINCE:
        return x
    axis = int(node.attributes.get("axis", 1)) % (x.ndim or 1)
    return x.reshape(x.shape[:axis].numel(), x.shape[axis:].numel())


ACTIVATIONS: dict[str, Operator] = {
    "Relu": Operator(run_relu),
    "LeakyRelu": Operator(run_leaky_relu),
    "PRelu": Operator(run_prelu),
    "Elu": Operator(run_elu),
    "Selu": Operator(run_selu),
    "Celu": Operator(run_celu),
    "Gelu": Operator(run_gelu),
    "Sigmoid": Operator(run_sigmoid),
    "HardSigmoid": Operator(run_hard_sigmoid),
    "HardSwish": Operator(run_hard_swish),
    "Tanh": Operator(run_tanh),
    "Softplus": Operator(run_softplus, wide=True),
    "Softsign": Operator(run_softsign),
    "Mish": Operator(run_mish, wide=True),
    "ThresholdedRelu": Operator(run_thresholded_relu),
    "Clip": Operator(run_clip, parameters=(1, 2)),
    "Softmax": Operator(run_softmax, wide=True),
    "LogSoftmax": Operator(run_log_softmax, wide=True),
    "Hardmax": Operator(run_hardmax),
}
