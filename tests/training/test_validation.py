import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from msgspec.structs import replace

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput
from sightline.core.progress import ProgressEvent
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.models.table import build_network
from sightline.training.arithmetic import EXACT
from sightline.training.recipe import make_recipe
from sightline.training.tasks.classification import find_target_labels
from sightline.training.train import prepare_loop, train_model
from sightline.training.validation import check_truth, evaluate_network, find_judged, prepare_groups


@pytest.mark.parametrize("task", ["classification", "multilabel", "detection", "semantic"])
def test_pictures_without_labels_can_judge_nothing(task: str, make_version) -> None:
    version = make_version(task, unlabelled=("val",), unlabelled_pixels="ignore")
    assert find_judged(version, "train", task) and not find_judged(version, "val", task)


def test_background_alone_judges_nothing_either(make_version) -> None:
    assert not find_judged(make_version("semantic", unlabelled=("val",)), "val", "semantic")


@pytest.mark.parametrize("task", ["classification", "multilabel", "detection", "semantic"])
def test_what_a_model_annotated_judges_nothing(task: str, make_version) -> None:
    version = make_version(task, guessed=("val",), unlabelled_pixels="ignore")
    assert find_judged(version, "train", task) and not find_judged(version, "val", task)


@pytest.mark.parametrize("task", ["classification", "multilabel"])
def test_boxes_name_the_categories_of_their_picture_as_in_training(task: str, make_version) -> None:
    version = make_version("detection", guessed=("train",))
    assert find_judged(version, "val", task) and not find_judged(version, "train", task)
    network = build_network(task, "fast", 3, 32, 32).eval()
    scores = evaluate_network(network, version, "val", task, version.categories, EXACT)
    learned = Counter(label for item in version.items("val") for label in find_target_labels(item, version.categories))
    assert [scores.per_category[name]["truth"] for name in version.categories] == [learned[0], learned[1], learned[2]]
    assert sum(learned.values()) == 4


def label_twice(version: DatasetVersion, split: str, origin: str) -> DatasetVersion:
    """The version with a further label on the last picture of a split."""
    *others, last = version.items()
    assert last.split == split
    more = replace(last.annotations[0], category="red", origin=origin, confidence=0.5 if origin == "model" else None)
    writer = VersionWriter(version.folder.with_name(f"twice-{origin}"), "twice", version.categories, version.blobs)
    for item in (*others, replace(last, annotations=(Annotation(category="blue"), more))):
        writer.add(item)
    return writer.close()


def test_a_validation_picture_of_two_categories_is_refused_before_training(make_version, tmp_path) -> None:
    version = make_version("classification")
    check_truth(version, "val", "classification")
    check_truth(label_twice(version, "val", "model"), "val", "classification")  # a model's label judges nobody
    twice = label_twice(version, "val", "human")
    with pytest.raises(InvalidInput, match=r"one true category for val/3\.png of the split 'val', got blue, red; mend"):
        check_truth(twice, "val", "classification")
    check_truth(twice, "val", "multilabel")
    events: list[ProgressEvent] = []
    recipe = make_recipe("classification", budget="4it", size=32, batch_size=2)
    with pytest.raises(InvalidInput, match=r"val/3\.png"):
        train_model(twice, recipe, tmp_path / "model", on_progress=events.append)
    assert not events  # no step was taken
    assert prepare_loop(twice, replace(recipe, validation_split=None), tmp_path / "other", events.append, True).validate is None


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
