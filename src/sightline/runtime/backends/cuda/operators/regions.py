"""Regions of interest: a picture's features pooled within boxes (He et al., "Mask R-CNN", 2017, section 3, RoIAlign)."""

import torch
from torch.nn import functional as F

from sightline.runtime.backends.cuda.operators.operator import Node, Operator, refuse

Tensor = torch.Tensor
CENTRED_SINCE = 16  # pixels lie at their centres unless the node says otherwise


def run_roi_align(node: Node, x: Tensor, boxes_xyxy: Tensor, batches: Tensor) -> Tensor:
    """Each box cut into bins, each bin the mean of `sampling_ratio` ** 2 points interpolated between four pixels.

    Args:
        x: features `(N, C, H, W)`.
        boxes_xyxy: `(R, 4)` in units of the features' pixels divided by `spatial_scale`.
        batches: picture of each box, `(R,)` int64.

    Returns: `(R, C, output_height, output_width)`.
    """
    count, mode = int(node.attributes.get("sampling_ratio", 0)), node.attributes.get("mode", "avg")
    if count < 1:
        raise refuse(node, "a sampling_ratio of 1 or more", f"{count}, by which the boxes decide")
    if mode != "avg":
        raise refuse(node, "mode avg", mode)
    placing = node.attributes.get("coordinate_transformation_mode", "half_pixel")
    is_centred = node.opset >= CENTRED_SINCE and placing == "half_pixel"
    n, c, h, w = x.shape
    edges = boxes_xyxy * node.attributes.get("spatial_scale", 1.0) - (0.5 if is_centred else 0)
    bins = [int(node.attributes.get(name, 1)) for name in ("output_height", "output_width")]
    rows, row_shares = _sample_axis(edges[:, 1], edges[:, 3], bins[0], count, h, is_centred)
    columns, column_shares = _sample_axis(edges[:, 0], edges[:, 2], bins[1], count, w, is_centred)
    # (R, bins, points) of both axes -> (R, bins y, bins x, points y, points x)
    pictures = batches.reshape(-1, 1, 1, 1, 1)
    places = (pictures * h + rows[:, :, None, :, None]) * w + columns[:, None, :, None, :]
    shares = row_shares[:, :, None, :, None] * column_shares[:, None, :, None, :]
    pixels = x.permute(0, 2, 3, 1).reshape(n * h * w, c)
    points = (2 * count) ** 2
    y = F.embedding_bag(
        places.reshape(-1, points), pixels, mode="sum", per_sample_weights=shares.reshape(-1, points).to(x.dtype)
    )
    return y.reshape(-1, *bins, c).permute(0, 3, 1, 2)


def _sample_axis(starts: Tensor, ends: Tensor, bins: int, count: int, size: int, is_centred: bool) -> tuple[Tensor, Tensor]:
    """Pixels to both sides of each point along an axis, and their share in the bin: int64 and float `(R, bins, 2 count)`."""
    extents = ends - starts
    if not is_centred:
        extents = extents.clamp(min=1)
    steps = (torch.arange(bins * count, device=starts.device, dtype=starts.dtype) + 0.5) / (bins * count)
    points = starts.unsqueeze(1) + extents.unsqueeze(1) * steps
    is_inside = (points >= -1) & (points <= size)  # others count as 0, as does what is no number
    points = points.masked_fill(~is_inside, 0).clamp(0, size - 1)
    left = points.floor()
    pixels = torch.stack((left, (left + 1).clamp(max=size - 1)), -1).long()
    shares = torch.stack((left + 1 - points, points - left), -1) * is_inside.unsqueeze(-1) / count
    return pixels.reshape(-1, bins, 2 * count), shares.reshape(-1, bins, 2 * count)


REGIONS: dict[str, Operator] = {"RoiAlign": Operator(run_roi_align, wide=True)}
