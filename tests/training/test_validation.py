import itertools

import numpy as np
import pytest
import torch

from sightline.models.table import build_network
from sightline.training.validation import has_truth, prepare_groups


@pytest.mark.parametrize("task", ["classification", "multilabel", "detection", "semantic"])
def test_pictures_without_labels_can_judge_nothing(task: str, make_version) -> None:
    version = make_version(task, unlabelled=("val",), unlabelled_pixels="ignore")
    assert has_truth(version, "train", task) and not has_truth(version, "val", task)


def test_background_alone_judges_nothing_either(make_version) -> None:
    assert not has_truth(make_version("semantic", unlabelled=("val",)), "val", "semantic")


@pytest.mark.parametrize("task", ["classification", "multilabel", "detection", "semantic"])
def test_what_a_model_annotated_judges_nothing(task: str, make_version) -> None:
    version = make_version(task, guessed=("val",), unlabelled_pixels="ignore")
    assert has_truth(version, "train", task) and not has_truth(version, "val", task)


def test_pictures_that_a_model_alone_annotated_are_left_out(make_version) -> None:
    version = make_version("detection", {"train": 4, "val": 3}, guessed=("train",))
    spec = build_network("detection", "fast", 3, 64, 64).input_spec
    assert list(prepare_groups(version, "train", spec, 4, torch.device("cpu"))) == []
    assert [len(group) for group in prepare_groups(version, "val", spec, 4, torch.device("cpu"))] == [3]


def test_pictures_read_ahead_for_a_gpu_come_in_order_and_are_the_same(make_version) -> None:
    version = make_version("detection", {"val": 11}, width=90, height=70)
    spec = build_network("detection", "fast", 3, 64, 64).input_spec
    plain, ahead = (list(prepare_groups(version, "val", spec, 4, torch.device(device))) for device in ("cpu", "cuda"))
    assert [len(group) for group in ahead] == [4, 4, 3]
    for (item, pixels, placement), (other_item, other_pixels, other_placement) in zip(
        itertools.chain(*plain), itertools.chain(*ahead), strict=True
    ):
        assert item == other_item
        assert np.array_equal(pixels, other_pixels)
        assert placement == other_placement
