"""Normalisations: numbers minus a mean, divided by a spread. All are wide: FP16 loses small variances."""

import torch
from torch.nn import functional as F

from sightline.runtime.backends.cuda.operators.axes import shape_along
from sightline.runtime.backends.cuda.operators.operator import Node, Operator, refuse

Tensor = torch.Tensor


def run_batch_normalization(node: Node, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """`x` `(N, C, ...)` with the mean and variance of each channel that training found, times a scale plus a bias."""
    if node.attributes.get("training_mode", 0) or any(node.outputs[1:]):
        raise refuse(node, "inference", "training")
    epsilon = node.attributes.get("epsilon", 1e-5)
    if mean.ndim > 1:  # `spatial` = 0 before opset 9: statistics of each number of a picture
        return (x - mean) / (variance + epsilon).sqrt() * scale + bias
    return F.batch_norm(x, mean, variance, scale, bias, eps=epsilon)


def run_instance_normalization(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """`x` `(N, C, ...)` with each channel of each picture's own mean and variance, times a scale plus a bias."""
    return torch.group_norm(x, x.shape[1], scale, bias, node.attributes.get("epsilon", 1e-5))


def run_group_normalization(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """`x` `(N, C, ...)` with the mean and variance of each group of channels; a scale and a bias for each group."""
    groups = int(node.attributes["num_groups"])
    y = torch.group_norm(x, groups, eps=node.attributes.get("epsilon", 1e-5))
    repeats = x.shape[1] // scale.numel()  # one for each channel since opset 21
    scale, bias = scale.repeat_interleave(repeats), bias.repeat_interleave(repeats)
    return y * shape_along(scale, 1, x.ndim) + shape_along(bias, 1, x.ndim)


def run_layer_normalization(node: Node, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
    """`x` with the mean and variance over the axes from `axis` on, times a scale plus a bias; both statistics if asked for."""
    axis, epsilon = int(node.attributes.get("axis", -1)) % x.ndim, node.attributes.get("epsilon", 1e-5)
    kept = x.shape[axis:]
    if scale.shape == kept and (bias is None or bias.shape == kept):
        y = F.layer_norm(x, kept, scale, bias, epsilon)
    else:
        y = F.layer_norm(x, kept, eps=epsilon) * scale
        y = y if bias is None else y + bias
    if len(node.outputs) == 1:
        return y
    axes = tuple(range(axis, x.ndim))
    spread = x.var(axes, correction=0, keepdim=True)
    return (y, x.mean(axes, keepdim=True), (spread + epsilon).rsqrt())[: len(node.outputs)]


def run_lrn(node: Node, x: Tensor) -> Tensor:
    """`x` `(N, C, ...)` divided by a power of the mean square of the `size` channels around each."""
    size = int(node.attributes["size"])
    # (N, C, ...) -> (N, 1, C, pixels): a window of channels is a pool's
    squares = F.pad(x.square().flatten(2).unsqueeze(1), (0, 0, (size - 1) // 2, size // 2))
    means = F.avg_pool2d(squares, (size, 1), 1).reshape(x.shape)
    base = means * node.attributes.get("alpha", 1e-4) + node.attributes.get("bias", 1.0)
    return x / base.pow(node.attributes.get("beta", 0.75))


NORMALISATIONS: dict[str, Operator] = {
    "BatchNormalization": Operator(run_batch_normalization, wide=True),
    "InstanceNormalization": Operator(run_instance_normalization, wide=True),
    "GroupNormalization": Operator(run_group_normalization, wide=True),
    "LayerNormalization": Operator(run_layer_normalization, wide=True),
    "LRN": Operator(run_lrn, wide=True),
}
