"""What a network with edges learns: truth of edges against distance transforms and loops, losses by hand, shapes by heart."""

import math

import cv2
import numpy as np
import pytest
import torch

from sightline.models.gated_scnn import GatedScnn
from sightline.models.network import normalise_images
from sightline.models.small_segmenter import SmallSegmenter
from sightline.training.edge_loss import (
    EDGE_REACH,
    WEIGHTS,
    compute_edge_entropy,
    compute_edge_losses,
    compute_outline_loss,
    compute_sure_edge_loss,
    find_edges,
    measure_outlines,
)
from sightline.training.learned_categories import find_learned_categories
from sightline.training.optimisers import build_optimiser
from sightline.training.pictures import Pictures
from sightline.training.recipe import make_recipe
from sightline.training.tasks.semantic import UNLABELLED, SemanticTask, make_label_map_reader
from sightline.training.tasks.task import TaskContext


def draw_labels(seed: int, categories: list[int]) -> torch.Tensor:
    """Blocks of 3 x 4 pixels: (2, 24, 32) uint8."""
    blocks = np.random.default_rng(seed).choice(categories, (2, 8, 8))
    return torch.from_numpy(blocks.repeat(3, 1).repeat(4, 2).astype(np.uint8))


def split_in_two(column: int, width: int = 16) -> torch.Tensor:
    """Category 0 on the left, 1 from a column on: (1, 16, width)."""
    return (torch.arange(width) >= column).to(torch.uint8).expand(1, 16, width)


def answer(labels: torch.Tensor, categories: int) -> torch.Tensor:
    """Logits that leave no doubt."""
    return 1000.0 * (labels[:, None] == torch.arange(categories)[:, None, None])


@pytest.mark.parametrize("seed", range(3))
def test_edges_are_what_a_distance_transform_of_each_category_finds(seed: int) -> None:
    labels = draw_labels(seed, [0, 1, 2, 254])
    expected = np.zeros(labels.shape, bool)
    for picture, edges in zip(labels.numpy(), expected, strict=True):
        for category in np.unique(picture):
            inside = (picture == category).astype(np.uint8)
            edges |= (inside > 0) & (cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= EDGE_REACH)
    assert np.array_equal(find_edges(labels, labels != UNLABELLED), expected)


@pytest.mark.parametrize("seed", range(3))
def test_unlabelled_pixels_are_no_edge_and_make_none(seed: int) -> None:
    labels = draw_labels(seed, [0, 1, 1, UNLABELLED])
    places = [tuple(place) for place in (labels != UNLABELLED).nonzero().tolist()]
    expected = torch.zeros(labels.shape, dtype=torch.bool)
    for one in places:
        expected[one] = any(
            labels[one] != labels[other] and one[0] == other[0] and math.dist(one, other) <= EDGE_REACH
            for other in places
            if abs(one[1] - other[1]) <= EDGE_REACH
        )
    assert torch.equal(find_edges(labels, labels != UNLABELLED), expected)


def test_edges_and_the_rest_weigh_the_same_in_each_picture() -> None:
    is_edge = torch.tensor([[[True, False], [False, False]]])
    known = torch.ones_like(is_edge)
    # Of four cells one is an edge: weights 3/4 and 3 x 1/4, each of log 2.
    assert compute_edge_entropy(torch.zeros(1, 2, 2), is_edge, known).item() == pytest.approx(1.5 * math.log(2) / 4)
    known[0, 1, 1] = False  # of three: 2/3 and 2 x 1/3
    logits = torch.tensor([[[2.0, 0.0], [0.0, 77.0]]])
    by_hand = (2 / 3 * math.log(1 + math.exp(-2)) + 2 / 3 * math.log(2)) / 3
    assert compute_edge_entropy(logits, is_edge, known).item() == pytest.approx(by_hand)
    twice = compute_edge_entropy(torch.cat([logits, logits]), torch.cat([is_edge] * 2), torch.cat([known] * 2))
    assert twice.item() == pytest.approx(by_hand)


def test_a_cell_is_an_edge_when_one_of_its_pixels_is() -> None:
    is_edge = torch.zeros(1, 4, 4, dtype=torch.bool)
    is_edge[0, 1, 2] = True
    right, wrong = torch.full((1, 2, 2), -30.0), torch.full((1, 2, 2), -30.0)
    right[0, 0, 1] = 30
    known = torch.ones_like(is_edge)
    assert compute_edge_entropy(right, is_edge, known).item() == pytest.approx(0, abs=1e-6)
    assert compute_edge_entropy(wrong, is_edge, known).item() == pytest.approx(30 * 0.75 / 4)


def test_categories_count_once_more_where_the_network_is_sure_of_an_edge() -> None:
    edge_logits = torch.tensor([[[1.39, 1.38], [-5.0, 30.0]]])  # 0.8006, 0.7990
    losses, weights = torch.zeros(1, 4, 4), torch.ones(1, 4, 4)
    losses[0, :2, :2], losses[0, 2:, 2:], losses[0, :2, 2:] = 1.0, 3.0, 100.0
    weights[0, 2:, 2:] = 3.0
    assert compute_sure_edge_loss(edge_logits, losses, weights).item() == pytest.approx((4 * 1 + 4 * 3) / (4 * 1 + 4 * 3))
    weights[0, 2:, 2:] = 1.0
    assert compute_sure_edge_loss(edge_logits, losses, weights).item() == pytest.approx(2)
    assert compute_sure_edge_loss(edge_logits - 50, losses, weights) == 0


def test_outlines_are_steep_next_to_an_edge_whichever_way_it_runs() -> None:
    step = split_in_two(8).float()[:, None]
    expected = torch.tensor([0, 0, 0, 0, 1 / 8, 3 / 8, 3 / 8, 1 / 8, 0, 0, 0, 0]) / math.sqrt(2)  # columns 2 to 13
    for outlines in (measure_outlines(step), measure_outlines(step.mT).mT):
        torch.testing.assert_close(outlines, expected.expand(1, 1, 12, 12), atol=1e-3, rtol=0)


def test_outlines_that_are_the_same_cost_nothing_and_missing_ones_their_length() -> None:
    labels = split_in_two(8)
    known = torch.ones_like(labels, dtype=torch.bool)
    assert compute_outline_loss(answer(labels, 2), labels, known).item() == pytest.approx(0, abs=1e-4)
    # Each of two categories misses 1/8 + 3/8 + 3/8 + 1/8, over the root of two, in each row of 12 cells that count.
    missed = compute_outline_loss(answer(torch.zeros_like(labels), 2), labels, known).item()
    assert missed == pytest.approx(2 / math.sqrt(2) / 12, rel=0.01)
    known[..., 10:] = False  # 8 cells remain in a row: columns 2 to 7, which see the half of it
    half = compute_outline_loss(answer(torch.zeros_like(labels), 2), labels, known).item()
    assert half == pytest.approx(1 / math.sqrt(2) / 6, rel=0.01)


def test_coarse_answers_are_compared_with_the_shares_of_their_cells() -> None:
    labels = split_in_two(17, 32).repeat_interleave(2, 1)  # (1, 32, 32): cell 8 is half of either
    known = torch.ones_like(labels, dtype=torch.bool)
    one_off = [compute_outline_loss(answer(split_in_two(column), 2), labels, known).item() for column in (8, 9)]
    assert one_off[0] == pytest.approx(one_off[1], rel=0.01)  # the truth lies in the middle of both
    assert one_off[0] > 0


def test_what_is_drawn_depends_on_pytorch_s_generator_alone() -> None:
    labels = split_in_two(8)
    known = torch.ones_like(labels, dtype=torch.bool)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(compute_outline_loss(torch.zeros(1, 2, 16, 16), labels, known).item())
    assert found[0] == found[1] != found[2]


def test_a_batch_that_nobody_labelled_costs_nothing() -> None:
    labels = torch.full((2, 32, 32), UNLABELLED, dtype=torch.uint8)
    logits, edges = torch.randn(2, 3, 8, 8, requires_grad=True), torch.randn(2, 1, 16, 16, requires_grad=True)
    nothing = torch.zeros(2, 32, 32)
    parts = compute_edge_losses(logits, edges, labels, labels != UNLABELLED, nothing, nothing)
    assert parts.keys() == WEIGHTS.keys()
    assert all(part == 0 for part in parts.values())
    sum(parts.values()).backward()
    assert not logits.grad.any() and not edges.grad.any()


def make_task(version, size: int) -> tuple[SemanticTask, int]:
    learned = find_learned_categories(version, "semantic")
    recipe = make_recipe("semantic", augmentation={"scale": (1, 1), "shift": 0, "rotation_deg": 0, "flip_x": 0})
    reader = make_label_map_reader(learned)
    pictures = Pictures(version, ("train",), width=size, height=size, cache_bytes=1 << 22, make_label_map=reader)
    spec = SmallSegmenter(1, size, size).input_spec
    return SemanticTask(TaskContext(recipe, learned.categories, pictures, spec)), len(learned.categories)


def test_a_network_with_edges_learns_eight_shapes_and_their_edges_by_heart(make_version) -> None:
    task, categories = make_task(make_version("semantic", {"train": 8}, width=64, height=64), 64)
    torch.manual_seed(0)
    network = GatedScnn(categories, 64, 64).train()
    optimiser = build_optimiser(network, make_recipe("semantic", weight_decay=0.0))
    rng = np.random.default_rng(0)
    batch = task.collate([task.make_sample(index, rng, 0.0) for index in range(8)], rng, 0.0)
    images = normalise_images(batch.images, network.input_spec)
    first = None
    for _ in range(40):
        parts = task.compute_loss(network, images, batch.targets)
        first = first or {name: part.item() for name, part in parts.items()}
        optimiser.zero_grad()
        sum(parts.values()).backward()
        optimiser.step()
    assert list(parts) == ["pixel", "edge", "sure_edge", "outline"]
    assert all(parts[name] < 0.5 * first[name] for name in ("pixel", "edge", "outline"))
    with torch.no_grad():
        logits, edges = network.find_categories_and_edges(images)
    is_edge = find_edges(batch.targets, batch.targets != UNLABELLED)[:, ::2, ::2]
    said = edges[:, 0] > 0
    assert (said & is_edge).sum() > 0.7 * (said | is_edge).sum()
    predicted = torch.nn.functional.interpolate(logits, (64, 64), mode="bilinear").argmax(1)
    assert (predicted == batch.targets).float().mean() > 0.95


def test_a_network_without_edges_learns_its_categories_alone(make_version) -> None:
    task, categories = make_task(make_version("semantic"), 32)
    network = SmallSegmenter(categories, 32, 32)
    parts = task.compute_loss(network, torch.zeros(2, 3, 32, 32), torch.zeros(2, 32, 32, dtype=torch.uint8))
    assert list(parts) == ["pixel"]
