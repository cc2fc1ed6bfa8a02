import pytest

from sightline.training.validation import has_truth


@pytest.mark.parametrize("task", ["classification", "multilabel", "detection", "semantic"])
def test_pictures_without_labels_can_judge_nothing(task: str, make_version) -> None:
    version = make_version(task, unlabelled=("val",), unlabelled_pixels="ignore")
    assert has_truth(version, "train", task) and not has_truth(version, "val", task)


def test_background_alone_judges_nothing_either(make_version) -> None:
    assert not has_truth(make_version("semantic", unlabelled=("val",)), "val", "semantic")
