"""The loss of masks from prototypes: by hand, against YOLACT's own way, and what has no mask to learn."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sightline.training.box_assignment import Assignment
from sightline.training.mask_loss import (
    MARGIN,
    MASK_POINTS,
    MASK_WEIGHT,
    InstanceTruth,
    compute_mask_loss,
    spread_points,
    weigh_cells,
)

SIZE = 32


def make_truth(boxes: list[list[float]], masks: list[np.ndarray], known: list[bool] | None = None) -> InstanceTruth:
    """One picture."""
    count = len(boxes)
    return InstanceTruth(
        torch.tensor([boxes]),
        torch.zeros(1, count, dtype=torch.long),
        torch.zeros(1, count, dtype=torch.bool),
        torch.from_numpy(np.array([masks], bool)),
        torch.tensor([known or [True] * count]),
    )


def assign(objects: list[int]) -> Assignment:
    """Cells 0, 1, ... of the first picture, each for an object."""
    places = torch.arange(len(objects))
    return Assignment(torch.zeros_like(places), places, torch.tensor(objects, dtype=torch.long), torch.ones(len(objects)))


def score(coefficients: torch.Tensor, prototypes: torch.Tensor, truth: InstanceTruth, objects: list[int]) -> float:
    shares = torch.ones(len(objects)) / max(1, len(objects))
    loss = compute_mask_loss(coefficients, prototypes, truth, assign(objects), shares, SIZE, SIZE)
    return float(loss) / MASK_WEIGHT


def test_the_points_of_a_box_are_the_centres_of_equal_parts_of_it_and_its_margin() -> None:
    places = spread_points(torch.tensor([10.0, 20.0]), torch.tensor([38.0, 76.0]))
    assert places.shape == (2, MASK_POINTS)
    # 28 and 56 pixels, with a tenth on both sides 33.6 and 67.2: parts of 1.2 and 2.4 from 7.2 and 14.4 on.
    assert places[:, :2].tolist() == [pytest.approx([7.8, 9.0]), pytest.approx([15.6, 18.0])]


def test_a_place_between_two_cells_takes_of_both_and_one_beyond_the_last_of_that_alone() -> None:
    weights = weigh_cells(torch.tensor([[2.0, 3.0, 6.0, 0.5, 31.9]]), 32, 8)[0]  # centres at 2, 6, ..., 30
    assert weights[:, :2].tolist() == [[1, 0], [0.75, 0.25], [0, 1], [1, 0], [0, 0]]
    assert weights[4, 7] == 1 and torch.equal(weights.sum(1), torch.ones(5))


def test_it_interpolates_as_grid_sample_does() -> None:
    prototypes = torch.randn(1, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    x = spread_points(torch.tensor([-3.0]), torch.tensor([57.0]))  # (1, G), of an input of 48 x 32 pixels
    y = spread_points(torch.tensor([2.0]), torch.tensor([11.0]))
    got = torch.einsum("yh,khw,xw->kyx", weigh_cells(y, 32, 8)[0], prototypes[0], weigh_cells(x, 48, 12)[0])
    grid = torch.stack(torch.meshgrid(y[0] / 16 - 1, x[0] / 24 - 1, indexing="ij")[::-1], -1)
    expected = F.grid_sample(prototypes, grid[None], padding_mode="border", align_corners=False)[0]
    assert torch.allclose(got, expected, atol=1e-5)


def test_an_undecided_mask_costs_the_logarithm_of_two() -> None:
    truth = make_truth([[4, 4, 20, 12]], [np.ones((MASK_POINTS, MASK_POINTS))])
    assert score(torch.zeros(3, 2), torch.randn(1, 2, 8, 8), truth, [0, 0, 0]) == pytest.approx(np.log(2), rel=1e-5)


def test_each_cell_is_judged_by_the_mask_of_its_own_object() -> None:
    full, empty = np.ones((MASK_POINTS, MASK_POINTS)), np.zeros((MASK_POINTS, MASK_POINTS))
    truth = make_truth([[0, 0, 16, 16], [16, 16, 32, 32]], [full, empty])
    prototypes = torch.full((1, 1, 8, 8), 4.0)
    sure, unsure = torch.tensor([[9.0]]), torch.tensor([[-9.0]])  # tanh is 1 and -1
    right = score(torch.cat([sure, unsure]), prototypes, truth, [0, 1])
    wrong = score(torch.cat([unsure, sure]), prototypes, truth, [0, 1])
    assert right == pytest.approx(np.log1p(np.exp(-4)), rel=1e-4)
    assert wrong == pytest.approx(4 + np.log1p(np.exp(-4)), rel=1e-4)


def test_it_is_yolact_s_mean_over_the_pixels_of_the_box() -> None:
    """A grid over 7 x 7 pixels of the prototypes, 4 x 4 points to each: of constant pixels the mean is the same."""
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.randn(1, 3, 14, 14, generator=generator).repeat_interleave(8, 2).repeat_interleave(8, 3)
    coefficients = torch.randn(1, 3, generator=generator)
    mask = torch.rand(7, 7, generator=generator) > 0.5
    box = [4 / 3, 4 / 3, 44 / 3, 44 / 3]  # with its margin 0 to 16
    truth = make_truth([box], [mask.repeat_interleave(4, 0).repeat_interleave(4, 1).numpy()])
    got = score(coefficients, prototypes, truth, [0])
    logits = torch.einsum("k,khw->hw", coefficients[0].tanh(), prototypes[0, :, 4:56:8, 4:56:8])  # (7, 7): 8 cells a pixel
    # A quarter of each side of a pixel's points lies within half a cell of the next pixel at most: 8 cells are fine enough.
    assert got == pytest.approx(float(F.binary_cross_entropy_with_logits(logits, mask.float())), rel=1e-4)


def test_prototypes_are_interpolated_at_the_points_as_the_decode_head_does_it() -> None:
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)  # centres of cells at 2, 6, 10, ...: (x - 2) / 4
    truth = make_truth([[8, 8, 24, 24]], [np.ones((MASK_POINTS, MASK_POINTS))])
    x = 8 + 16 * ((np.arange(MASK_POINTS) + 0.5) / MASK_POINTS * (1 + 2 * MARGIN) - MARGIN)
    expected = np.log1p(np.exp(-np.tanh(0.7) * (x - 2) / 4)).mean()
    assert score(torch.tensor([[0.7]]), ramp, truth, [0]) == pytest.approx(expected, rel=1e-5)


def test_what_has_no_mask_teaches_none_and_still_has_a_gradient() -> None:
    truth = make_truth([[0, 0, 16, 16]], [np.zeros((MASK_POINTS, MASK_POINTS))], known=[False])
    coefficients, prototypes = torch.ones(2, 3, requires_grad=True), torch.ones(1, 3, 8, 8, requires_grad=True)
    for objects in ([0, 0], []):
        loss = compute_mask_loss(
            coefficients[: len(objects)], prototypes, truth, assign(objects), torch.ones(len(objects)), SIZE, SIZE
        )
        assert loss.item() == 0
        loss.backward()
        assert prototypes.grad is not None and not prototypes.grad.any()
