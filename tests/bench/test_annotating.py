from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from bench_fakes import COLOURS, SIZE, ColourDetector
from cli_fixtures import write_brightness_model

from sightline.bench.annotating import annotate_version
from sightline.bench.measure import measure_predictor
from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput, Unsupported
from sightline.core.folders import read_manifest
from sightline.core.manifests import ModelManifest, compute_manifest_id
from sightline.core.workspace import Workspace
from sightline.data.exporting import export_version
from sightline.data.importing import import_dataset
from sightline.data.truth import find_truth
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.runtime.predictor import open_predictor


def test_unlabelled_pictures_get_the_models_boxes_and_labelled_ones_stay(
    squares_version: DatasetVersion, tmp_path: Path
) -> None:
    result = annotate_version(squares_version, ColourDetector(), name="labelled", out=tmp_path / "new")
    old, new = list(squares_version.items()), list(result.version.items())
    assert new[:4] == old[:4]
    # Pictures 4 and 5: squares drawn at (4, 4 + n, 20, 20 + n) and (36, 30, 56, 50).
    for number in (4, 5):
        found = {one.category: one for one in new[number].annotations}
        assert found["red"].box_xyxy == (4.0, 4.0 + number, 20.0, 20.0 + number)
        assert found["blue"].box_xyxy == (36.0, 30.0, 56.0, 50.0)
        assert {one.origin for one in found.values()} == {"model"}
        assert {one.confidence for one in found.values()} == {0.9}
    assert (result.images_annotated, result.images_without, result.images_left) == (2, 0, 4)
    assert result.annotations == {"red": 2, "blue": 2}


def test_pictures_in_which_nothing_is_found_are_counted(squares_version: DatasetVersion, tmp_path: Path) -> None:
    result = annotate_version(squares_version, ColourDetector(blind_to=["red", "blue"]), out=tmp_path / "new")
    assert (result.images_annotated, result.images_without, result.images_left) == (0, 2, 4)
    assert [item.seen_by for item in result.version.items("new")] == ["model", "model"]
    assert [item.seen_by for item in result.version.items("test")] == [None] * 4  # people's annotations tell


def test_where_people_saw_nothing_a_model_is_asked_only_for_every_picture_and_the_truth_stays(
    squares_version: DatasetVersion, tmp_path: Path
) -> None:
    viewers = ("human", "nobody", "model", None, None, "human")
    with VersionWriter(tmp_path / "bare", "bare", squares_version.categories, squares_version.blobs) as writer:
        for item, viewer in zip(squares_version.items(), viewers, strict=True):
            writer.add(msgspec.structs.replace(item, annotations=(), seen_by=viewer))
        bare = writer.close()
    result = annotate_version(bare, ColourDetector(), out=tmp_path / "new")
    assert (result.images_annotated, result.images_left, result.images_bare) == (4, 2, 2)
    assert [len(item.annotations) for item in result.version.items()] == [0, 2, 2, 2, 2, 0]
    assert [find_truth(item) is not None for item in result.version.items()] == [True, False, False, False, False, True]
    everywhere = annotate_version(result.version, ColourDetector(), only_unlabelled=False, out=tmp_path / "all")
    assert [len(item.annotations) for item in everywhere.version.items()] == [2] * 6
    assert list(map(find_truth, everywhere.version.items())) == list(map(find_truth, result.version.items()))


def test_the_new_version_names_its_parent_and_keeps_pictures_and_splits(
    squares_version: DatasetVersion, tmp_path: Path
) -> None:
    made = annotate_version(squares_version, ColourDetector(), out=Workspace(tmp_path / "workspace")).version
    assert made.id != squares_version.id
    assert made.manifest.source["parents"] == [squares_version.id]
    assert made.manifest.name == "squares"
    assert made.splits == squares_version.splits
    item = next(made.items("new"))
    assert made.read_image(item).shape == (SIZE, SIZE, 3)


def test_the_new_version_has_the_name_its_parent_has_in_the_workspace(squares_version: DatasetVersion, tmp_path: Path) -> None:
    home = Workspace(tmp_path / "workspace")
    export_version(squares_version, tmp_path / "squares.zip", "sightline")
    parent, _ = import_dataset(tmp_path / "squares.zip", home, "mine")
    made = annotate_version(parent, ColourDetector(), out=home).version
    assert (made.name, made.manifest.name, home.names("datasets")) == ("mine", "mine", ["mine"])


def test_beside_a_persons_annotations_only_what_they_did_not_label_is_added(
    squares_version: DatasetVersion, tmp_path: Path
) -> None:
    blobs = squares_version.blobs
    with VersionWriter(tmp_path / "bare", "bare", squares_version.categories, blobs) as writer:
        for item in squares_version.items("test"):  # all red squares, and blue ones half a side off: a third of both is shared
            red, blue = sorted(item.annotations, key=lambda one: one.category, reverse=True)
            x_min, y_min, x_max, y_max = blue.box_xyxy
            off = msgspec.structs.replace(blue, box_xyxy=(x_min - 10, y_min, x_max - 10, y_max))
            writer.add(msgspec.structs.replace(item, annotations=(red, off)))
        old = writer.close()
    result = annotate_version(old, ColourDetector(), only_unlabelled=False, out=tmp_path / "new")
    for before, after in zip(old.items(), result.version.items(), strict=True):
        assert after.annotations[:2] == before.annotations
        assert [(one.category, one.origin) for one in after.annotations[2:]] == [("blue", "model")]
    assert result.annotations == {"blue": 4}


def test_a_picture_that_people_classified_gets_no_rival_of_their_category(
    squares_version: DatasetVersion, tmp_path: Path
) -> None:
    class Sure:
        task = "classification"
        categories = ("red", "blue")

        def predict(self, images: Sequence[np.ndarray], confidence_threshold: float | None = None) -> list[list[Annotation]]:
            return [[Annotation(category="blue", confidence=0.9)] for _ in images]

    with VersionWriter(tmp_path / "old", "old", squares_version.categories, squares_version.blobs) as writer:
        for item, category in zip(squares_version.items("test"), ("red", "blue", None, None), strict=True):
            said = () if category is None else (Annotation(category=category),)
            writer.add(msgspec.structs.replace(item, annotations=said))
        old = writer.close()
    found = {}
    for Sure.task in ("classification", "multilabel"):
        made = annotate_version(old, Sure(), only_unlabelled=False, out=tmp_path / Sure.task)
        found[Sure.task] = [[one.category for one in item.annotations] for item in made.version.items()]
    assert found == {
        "classification": [["red"], ["blue"], ["blue"], ["blue"]],
        "multilabel": [["red", "blue"], ["blue"], ["blue"], ["blue"]],
    }


def test_labelling_again_replaces_what_an_earlier_model_said(squares_version: DatasetVersion, tmp_path: Path) -> None:
    first = annotate_version(squares_version, ColourDetector(), out=tmp_path / "first").version
    second = annotate_version(first, ColourDetector(blind_to=["red"]), out=tmp_path / "second").version
    assert [one.category for one in next(second.items("new")).annotations] == ["blue"]


def test_a_classifier_says_one_category_a_picture_and_several_of_several_labels(
    squares_version: DatasetVersion, tmp_path: Path
) -> None:
    class Torn:
        task = "classification"
        categories = ("red", "blue")

        def predict(self, images: Sequence[np.ndarray], confidence_threshold: float | None = None) -> list[list[Annotation]]:
            shares = {"red": 0.4, "blue": 0.6}
            return [[Annotation(category=name, confidence=share) for name, share in shares.items()] for _ in images]

    made = annotate_version(squares_version, Torn(), out=tmp_path / "one")
    assert [one.category for one in next(made.version.items("new")).annotations] == ["blue"]
    assert made.annotations == {"blue": 2}
    Torn.task = "multilabel"
    assert annotate_version(squares_version, Torn(), out=tmp_path / "several").annotations == {"red": 2, "blue": 2}


def test_a_category_only_the_model_knows_is_added(squares_version: DatasetVersion, tmp_path: Path) -> None:
    blobs = squares_version.blobs
    with VersionWriter(tmp_path / "bare", "bare", type(squares_version.categories)(["red"]), blobs) as writer:
        for item in squares_version.items("new"):
            writer.add(item)
        bare = writer.close()
    made = annotate_version(bare, ColourDetector(), out=tmp_path / "new").version
    assert made.categories.names == ("red", "blue")


def test_the_threshold_reaches_the_predictor(squares_version: DatasetVersion, tmp_path: Path) -> None:
    seen: list[float | None] = []

    class Listening(ColourDetector):
        def predict(self, images: list[np.ndarray], confidence_threshold: float | None = None) -> list[list[Annotation]]:
            seen.append(confidence_threshold)
            return super().predict(images, confidence_threshold)

    annotate_version(squares_version, Listening(), confidence_threshold=0.7, out=tmp_path / "new")
    assert seen == [0.7]


def test_predictions_without_confidence_are_refused_and_leave_nothing(squares_version: DatasetVersion, tmp_path: Path) -> None:
    class Certain(ColourDetector):
        def predict(self, images: list[np.ndarray], confidence_threshold: float | None = None) -> list[list[Annotation]]:
            answers = super().predict(images, confidence_threshold)
            return [[msgspec.structs.replace(one, confidence=None) for one in answer] for answer in answers]

    with pytest.raises(InvalidInput, match="confidence"):
        annotate_version(squares_version, Certain(), out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_boxes_over_the_edge_are_clipped_and_those_without_area_dropped_and_told(
    squares_version: DatasetVersion, tmp_path: Path
) -> None:
    class Careless(ColourDetector):
        def predict(self, images: Sequence[np.ndarray], confidence_threshold: float | None = None) -> list[list[Annotation]]:
            boxes = [(-9.0, 1.0, 10.0, 500.0), (9.0, 9.0, 9.0, 9.0)]
            return [[Annotation(category="red", box_xyxy=box, confidence=0.5) for box in boxes] for _ in images]

    result = annotate_version(squares_version, Careless(), out=tmp_path / "new")
    new = next(result.version.items("new")).annotations
    assert [(one.box_xyxy, one.origin) for one in new] == [((0.0, 1.0, 10.0, SIZE), "model")]
    assert (result.report.changed("annotation"), result.report.dropped("annotation")) == (2, 2)
    assert result.annotations == {"red": 2}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda images: [], "expected a list of annotations for each of 2 pictures, got 0"),
        (lambda images: [[("red", 0.9)] for _ in images], r"expected an Annotation, got \('red', 0.9\)"),
        (
            lambda images: [[Annotation(category="red", box_xyxy=np.ones(3), confidence=0.9)] for _ in images],  # type: ignore[arg-type]
            r"the annotation of 'red' does not fit: .* of length 4, got 3 - at `\$\.box_xyxy`",
        ),
    ],
)
def test_answers_that_are_no_predictions_are_refused_in_one_line(
    answer: Any, words: str, squares_version: DatasetVersion, tmp_path: Path
) -> None:
    class Odd(ColourDetector):
        categories = tuple(COLOURS)  # type: ignore[assignment]  # names alone will do

        def predict(self, images: Sequence[np.ndarray], confidence_threshold: float | None = None) -> list[list[Annotation]]:
            return answer(images)  # type: ignore[no-any-return]

    with pytest.raises(InvalidInput, match=words):
        annotate_version(squares_version, Odd(), out=tmp_path / "new")
    with pytest.raises(InvalidInput, match=words):
        measure_predictor(Odd(), squares_version, max_images=2, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_predictor_may_answer_with_arrays_of_numpy(squares_version: DatasetVersion, tmp_path: Path) -> None:
    class Numpy(ColourDetector):
        def predict(self, images: Sequence[np.ndarray], confidence_threshold: float | None = None) -> list[list[Annotation]]:
            box, confidence = np.float32([4, 8, 20, 24]), np.float32(0.5)
            return [[Annotation(category="red", box_xyxy=box, confidence=confidence)] for _ in images]  # type: ignore[arg-type]

    result = annotate_version(squares_version, Numpy(), out=tmp_path / "new")
    (found,) = next(result.version.items("new")).annotations
    assert (found.box_xyxy, found.confidence) == ((4.0, 8.0, 20.0, 24.0), 0.5)
    plan = {"batch_sizes": (1,), "streams": (1,), "point_s": 0.01, "repeats": 1, "worst_pictures": 1}
    report = measure_predictor(Numpy(), squares_version, out=tmp_path / "report", **plan)
    assert report.content.accuracy.values["map50"] > 0


def test_what_labels_cannot_judge_is_not_measured(squares_version: DatasetVersion, tmp_path: Path) -> None:
    class Raw(ColourDetector):
        task = "raw"

    with pytest.raises(Unsupported, match=r"expected a task that labels can judge \(classification, .*\), got 'raw'"):
        measure_predictor(Raw(), squares_version, out=tmp_path / "report")


def test_a_threshold_beyond_one_is_refused(squares_version: DatasetVersion, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"0\.\.1"):
        annotate_version(squares_version, ColourDetector(), confidence_threshold=50, out=tmp_path / "new")


def test_paths_may_be_text(squares_version: DatasetVersion, tmp_path: Path) -> None:
    model = write_brightness_model(tmp_path / "model")
    with open_predictor(model) as predictor:
        result = annotate_version(squares_version, predictor, out=str(tmp_path / "new"), folder=str(model))
    assert result.version.folder == tmp_path / "new"
    assert result.version.manifest.source["subject"]["id"] == compute_manifest_id(read_manifest(model, ModelManifest))
