"""What a segmenter learns beside its categories when it also finds the edges between them (Gated-SCNN, Takikawa et al. 2019).

Three losses, each at the resolution of the network's answer: its edges shall be those of the label map (§3.2, joint multi-task
learning); where it is sure of one, its categories count once more, and the outlines of its categories shall be those of the
label map (§3.3, dual task regularizer). All truth is made here, of the label map: the edges of 8 pictures of CamVid cost 3 of
the 1,400 CPU-ms of a step, so samples need not carry them.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Of each part beside the cross-entropy of the categories, which counts once (§4, implementation details).
WEIGHTS = {"edge": 20.0, "sure_edge": 1.0, "outline": 1.0}
SURE_EDGE = 0.8  # from this probability on an edge asks for its categories
TEMPERATURE = 0.5  # of the Gumbel softmax, which takes the place of the argmax
EDGE_REACH = 2  # pixels: as far from another category a pixel belongs to the edge
OUTLINE_REACH = 2  # cells around one that say how steep it is there
SLOPE_FLOOR = 1e-6  # under the root, which has no slope at zero


def compute_edge_losses(
    logits: Tensor, edge_logits: Tensor, labels: Tensor, is_known: Tensor, losses: Tensor, weights: Tensor
) -> dict[str, Tensor]:
    """{"edge", "sure_edge", "outline"}, weighted as `WEIGHTS` says; 0 where nothing is labelled.

    Args:
        logits: `(N, C, a, b)` of categories, float32.
        edge_logits: `(N, 1, h, w)` of edges, float32. Cells of either are squares of whole pixels.
        labels: `(N, H, W)` uint8 indices of categories.
        is_known: `(N, H, W)` bool: labelled; others count nowhere.
        losses, weights: `(N, H, W)` of each pixel's category, as the task computes and sums them; 0 where nothing is known.
    """
    is_edge = find_edges(labels, is_known)
    parts = {
        "edge": compute_edge_entropy(edge_logits[:, 0], is_edge, is_known),
        "sure_edge": compute_sure_edge_loss(edge_logits[:, 0], losses, weights),
        "outline": compute_outline_loss(logits, labels, is_known),
    }
    return {name: WEIGHTS[name] * part for name, part in parts.items()}


def find_edges(labels: Tensor, is_known: Tensor) -> Tensor:
    """Which labelled pixels have a labelled pixel of another category at most `EDGE_REACH` away, centre to centre.

    That is the union over the categories of what a distance transform of each finds on both sides of its outline. Next to what
    nobody labelled there is no edge.

    Args: labels: `(N, H, W)` uint8; is_known: `(N, H, W)` bool. Returns: `(N, H, W)` bool.
    """
    highest = _spread(labels * is_known)
    lowest = 255 - _spread((255 - labels) * is_known)
    return (highest != lowest) & is_known


def _spread(maps: Tensor) -> Tensor:
    """The largest value `(N, H, W)` uint8 in a disk of `EDGE_REACH` around each pixel."""
    height, width = maps.shape[-2:]
    padded, spread = F.pad(maps, (EDGE_REACH,) * 4), maps
    for y in range(2 * EDGE_REACH + 1):
        for x in range(2 * EDGE_REACH + 1):
            if 0 < math.hypot(y - EDGE_REACH, x - EDGE_REACH) <= EDGE_REACH:
                spread = torch.maximum(spread, padded[:, y : y + height, x : x + width])
    return spread


def compute_edge_entropy(edge_logits: Tensor, is_edge: Tensor, is_known: Tensor) -> Tensor:
    """Cross-entropy of edges in which those that are and that are not weigh the same in each picture (Xie and Tu 2015, §2.2).

    Args: edge_logits: `(N, h, w)`; is_edge, is_known: `(N, H, W)` bool; of k x k pixels one makes a cell known, or an edge.
    """
    size = edge_logits.shape[-2:]
    edge, known = (_split_cells(pixels, size).any(-1).flatten(1).float() for pixels in (is_edge, is_known))
    counted = known.sum(1, keepdim=True).clamp(min=1)
    share = edge.sum(1, keepdim=True) / counted
    weights = torch.where(edge > 0, 1 - share, share) * known
    entropy = F.binary_cross_entropy_with_logits(edge_logits.flatten(1), edge, weights, reduction="none")
    return (entropy / counted).sum(1).mean()


def compute_sure_edge_loss(edge_logits: Tensor, losses: Tensor, weights: Tensor) -> Tensor:
    """Mean loss of the pixels' categories where the network is sure of an edge.

    Args: edge_logits: `(N, h, w)`; losses, weights: `(N, H, W)`.
    """
    scale = losses.shape[-1] // edge_logits.shape[-1]
    is_sure = edge_logits.detach() > math.log(SURE_EDGE / (1 - SURE_EDGE))
    is_sure = is_sure.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    return (losses * is_sure).sum() / (weights * is_sure).sum().clamp(min=1)


def compute_outline_loss(logits: Tensor, labels: Tensor, is_known: Tensor) -> Tensor:
    """How far the outlines of the answered categories are from those of the labels.

    The paper sums differences over all places where either has an outline; divided by the number of labelled cells the sum does
    not depend on the size of the picture. Which category a cell has is drawn by its probability (PyTorch's generator); in truth
    it has each by the share of its pixels.

    Args: logits: `(N, C, h, w)`; labels, is_known: `(N, H, W)`; H and W are k times h and w.
    """
    size = logits.shape[-2:]
    drawn = F.gumbel_softmax(logits, TEMPERATURE, dim=1)
    categories = torch.arange(logits.shape[1], dtype=labels.dtype, device=labels.device)[:, None, None]
    pixels = _split_cells(labels, size).unbind(-1)  # k² of (N, h, w)
    truth = torch.zeros_like(drawn)
    for pixel in pixels:
        truth += pixel[:, None] == categories
    truth /= len(pixels)
    unknown = (~_split_cells(is_known, size).all(-1)).float()
    known = 1 - F.max_pool2d(unknown, 2 * OUTLINE_REACH + 1, 1)  # (N, h - 4, w - 4): nothing unknown within reach
    difference = (measure_outlines(drawn) - measure_outlines(truth)).abs().sum(1)
    return (difference * known).sum() / known.sum().clamp(min=1)


def measure_outlines(shares: Tensor) -> Tensor:
    """Steepness of maps after a little smoothing, over the root of two.

    Weights 1, 2, 1 along both axes, then central differences, as sums of shifted maps: a CPU takes ten times as long for the
    same convolution of single channels.

    Args: shares: `(N, C, h, w)`. Returns: `(N, C, h - 4, w - 4)`; beside an upright edge 3/8 and 1/8, over that root.
    """
    smooth = (shares[..., 2:] + 2 * shares[..., 1:-1] + shares[..., :-2]) / 4
    smooth = (smooth[..., 2:, :] + 2 * smooth[..., 1:-1, :] + smooth[..., :-2, :]) / 4
    along_x = (smooth[..., 1:-1, 2:] - smooth[..., 1:-1, :-2]) / 2
    along_y = (smooth[..., 2:, 1:-1] - smooth[..., :-2, 1:-1]) / 2
    return ((along_x.square() + along_y.square() + SLOPE_FLOOR) / 2).sqrt()


def _split_cells(pixels: Tensor, size: torch.Size) -> Tensor:
    """The k² pixels of each cell: `(N, h * k, w * k)` -> `(N, h, w, k * k)`."""
    (height, width), count = size, pixels.shape[-1] // size[-1]
    cells = pixels.reshape(-1, height, count, width, count).permute(0, 1, 3, 2, 4)  # (N, h, k, w, k) -> (N, h, w, k, k)
    return cells.flatten(3)
