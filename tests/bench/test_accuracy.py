from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from bench_fakes import ColourDetector
from small_artifacts import write_halves
from whole_server import run_server

from sightline.bench.accuracy import AccuracyResult, choose_items, measure_accuracy, merge_categories, trim_confusion
from sightline.bench.annotating import annotate_version
from sightline.bench.subjects import Subject
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, NotFound
from sightline.core.folders import read_manifest, write_manifest
from sightline.core.manifests import ArtifactManifest, DecodeSpec
from sightline.core.progress import ProgressEvent
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.runtime.predictor import open_predictor
from sightline.serving.client.predictor import RemotePredictor
from sightline.serving.deployments import deploy_artifact


def judge(detector: Subject, version: DatasetVersion, split: str | None = "test") -> AccuracyResult:
    items = choose_items(version, split, None, 0)
    return measure_accuracy(detector, version, items, 4, worst_pictures=2, seed=0, on_progress=lambda event: None)


def test_a_detector_that_sees_everything_has_map_one_and_no_mistakes(squares_version: DatasetVersion, tmp_path: Path) -> None:
    result = judge(ColourDetector(), squares_version)
    accuracy = result.accuracy
    assert (accuracy.primary_name, accuracy.primary) == ("map", pytest.approx(1.0))
    assert (accuracy.primary_low, accuracy.primary_high) == (0.25, 1.0)  # four pictures, all right: the rule of three
    assert {curve.category: set(curve.precision) for curve in accuracy.curves} == {"red": {1.0}, "blue": {1.0}}
    assert result.worst.draw(squares_version, tmp_path) == ()


def test_a_detector_blind_to_one_of_two_colours_has_half_the_map(squares_version: DatasetVersion) -> None:
    accuracy = judge(ColourDetector(blind_to=["red"]), squares_version).accuracy
    assert accuracy.primary == pytest.approx(0.5)  # mean of AP 1 (blue) and 0 (red)
    assert accuracy.per_category["red"]["ap"] == pytest.approx(0.0)
    assert accuracy.per_category["blue"]["ap"] == pytest.approx(1.0)
    assert [curve.category for curve in accuracy.curves] == ["blue"]


def test_a_detector_that_sees_nothing_scores_zero(squares_version: DatasetVersion) -> None:
    accuracy = judge(ColourDetector(blind_to=["red", "blue"]), squares_version).accuracy
    assert accuracy.primary == 0.0
    assert accuracy.curves == ()


def test_the_metric_asks_for_unsure_predictions_and_the_pictures_show_the_sure_ones(
    squares_version: DatasetVersion, tmp_path: Path
) -> None:
    asked: list[float | None] = []

    class Unsure(ColourDetector):
        def predict(self, images: Sequence[np.ndarray], confidence_threshold: float | None = None) -> list[list[Annotation]]:
            asked.append(confidence_threshold)
            ghost = Annotation(category="red", box_xyxy=(60, 60, 64, 64), confidence=0.1, origin="model")
            return [[*answer, ghost] for answer in super().predict(images, confidence_threshold)]

    result = judge(Unsure(), squares_version)
    assert asked == [0.01]
    assert result.worst.draw(squares_version, tmp_path) == (), "a ghost of confidence 0.1 is below what a user sees"


def test_a_models_own_annotations_judge_nobody(squares_version: DatasetVersion, tmp_path: Path) -> None:
    half_blind = ColourDetector(blind_to=["red"])
    annotated = annotate_version(squares_version, half_blind, out=tmp_path / "annotated").version  # pictures 4 and 5
    items = choose_items(annotated, None, None, 0)
    events: list[ProgressEvent] = []
    result = measure_accuracy(ColourDetector(), annotated, items, 6, worst_pictures=2, seed=0, on_progress=events.append)
    assert result.accuracy.primary == pytest.approx(1.0)  # the red squares of pictures 4 and 5 count as no mistakes
    assert (result.images, result.notes) == (4, ["2 pictures were left out: no person looked at them to label them"])
    assert events[-1].progress == 1.0
    with pytest.raises(InvalidInput, match="got 2 of 'squares' that no person looked at; label some"):
        judge(half_blind, annotated, "new")


def test_a_picture_in_which_a_model_found_nothing_is_none_that_shows_nothing(
    squares_version: DatasetVersion, tmp_path: Path
) -> None:
    blind = ColourDetector(blind_to=["red", "blue"])
    annotated = annotate_version(squares_version, blind, out=tmp_path / "annotated").version  # nothing in pictures 4 and 5
    result, before = (judge(ColourDetector(), version, None) for version in (annotated, squares_version))
    assert (result.images, before.images) == (4, 6)  # before, the two count as pictures that show nothing
    assert result.accuracy.primary == pytest.approx(1.0)


def test_a_label_of_the_whole_picture_is_no_object(squares_version: DatasetVersion, tmp_path: Path) -> None:
    writer = VersionWriter(tmp_path / "tagged", "tagged", squares_version.categories, squares_version.blobs)
    for item in squares_version.items():
        writer.add(msgspec.structs.replace(item, annotations=(*item.annotations, Annotation(category="red"))))
    tagged = writer.close()
    plain, found = judge(ColourDetector(["red"]), squares_version), judge(ColourDetector(["red"]), tagged)
    assert found.accuracy == plain.accuracy
    mistakes = found.worst.draw(tagged, tmp_path)
    assert [mistake.caption for mistake in mistakes] == ["1 missed, 0 wrong, 1 right"] * 2


def test_a_picture_without_a_label_judges_no_classifier(squares_version: DatasetVersion, tmp_path: Path) -> None:
    """Of six pictures four have a label, three of them "red": top-1 is 3 / 4, with Wilson's interval of 4."""
    writer = VersionWriter(tmp_path / "sorted", "sorted", squares_version.categories, squares_version.blobs)
    for place, item in enumerate(squares_version.items()):
        label = Annotation(category="red" if place < 3 else "blue")
        writer.add(msgspec.structs.replace(item, annotations=(label,) if item.annotations else ()))
    version = writer.close()

    class Sorter(ColourDetector):
        task = "classification"

        def predict(self, images: Sequence[np.ndarray], confidence_threshold: float | None = None) -> list[list[Annotation]]:
            return [[Annotation(category="red", confidence=0.9, origin="model")] for _ in images]

    result = judge(Sorter(), version, None)
    assert (result.images, result.accuracy.primary) == (4, 0.75)
    assert result.notes == ["2 pictures carry no label, so they judge nothing"]
    assert (result.accuracy.primary_low, result.accuracy.primary_high) == pytest.approx((0.3006, 0.9544), abs=1e-4)


def test_an_accuracy_of_nothing_true_is_said_to_say_nothing(squares_version: DatasetVersion) -> None:
    result = judge(ColourDetector(), squares_version, "new")  # two pictures without annotations
    assert (result.images, result.accuracy.primary, result.accuracy.primary_low) == (2, 0.0, None)
    assert result.notes == ["there is nothing true on these pictures, so map is 0 and says nothing"]


def test_items_drawn_with_a_seed_are_the_same_each_time_and_in_file_order(squares_version: DatasetVersion) -> None:
    def names(seed: int) -> list[str]:
        return [item.file_name for item in choose_items(squares_version, None, 3, seed)]

    assert names(1) == names(1) == sorted(names(1))
    assert len(set(names(1))) == 3
    assert len({tuple(names(seed)) for seed in range(8)}) > 1
    assert [item.file_name for item in choose_items(squares_version, "test", 100, 0)] == ["0.png", "1.png", "2.png", "3.png"]


def test_an_unknown_split_is_refused(squares_version: DatasetVersion) -> None:
    with pytest.raises(NotFound, match="no split 'val'"):
        list(choose_items(squares_version, "val", None, 0))


def test_categories_are_merged_and_every_difference_is_noted() -> None:
    merged, notes = merge_categories(("b", "c"), Categories(["a", "b"]))
    assert merged.names == ("a", "b", "c")
    assert len(notes) == 2
    assert "cannot answer a" in notes[0]
    assert "has no c" in notes[1]
    assert merge_categories(("a",), Categories(["a"])) == (Categories(["a"]), [])


def test_a_subject_with_none_of_the_categories_is_refused() -> None:
    with pytest.raises(InvalidInput, match="any of the subject's cat"):
        merge_categories(("cat",), Categories(["screw"]))
    with pytest.raises(InvalidInput, match="raw tensors"):
        merge_categories((), Categories(["screw"]))


def test_an_empty_background_is_cut_from_the_confusion_and_a_used_one_stays() -> None:
    categories = Categories(["a", "b"])
    assert trim_confusion([[3, 1, 0], [0, 2, 0], [0, 0, 0]], categories) == ([[3, 1], [0, 2]], ("a", "b"))
    used = [[3, 1, 0], [0, 2, 0], [0, 5, 0]]
    assert trim_confusion(used, categories) == (used, ("a", "b", "background"))
    assert trim_confusion([[3, 1], [0, 2]], categories) == ([[3, 1], [0, 2]], ("a", "b"))
    assert trim_confusion(None, categories) == (None, ())


def test_progress_ends_at_one(squares_version: DatasetVersion) -> None:
    events: list[ProgressEvent] = []
    items = choose_items(squares_version, "test", None, 0)
    measure_accuracy(ColourDetector(), squares_version, items, 4, worst_pictures=0, seed=0, on_progress=events.append)
    assert events[-1].progress == 1.0


def test_a_message_names_few_categories() -> None:
    from sightline.bench.accuracy import list_few

    assert list_few(["a", "b"]) == "a, b"
    assert list_few([str(index) for index in range(1000)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 990 more"


@pytest.mark.parametrize(("own", "precision"), [(0.5, 1.0), (0.25, 0.5), (None, 0.5)])
def test_precision_and_confusion_of_objects_count_what_a_user_of_this_model_sees(
    own: float | None, precision: float, squares_version: DatasetVersion
) -> None:
    """Beside each right box a wrong one at 0.4; who does not say a threshold is judged at 0.25."""

    class Doubtful(ColourDetector):
        decode = None if own is None else DecodeSpec(head="anchor_free", outputs=("y",), confidence_threshold=own)

        def predict(self, images: Sequence[np.ndarray], confidence_threshold: float | None = None) -> list[list[Annotation]]:
            return [
                [*found, *(msgspec.structs.replace(one, box_xyxy=(60, 60, 64, 64), confidence=0.4) for one in found)]
                for found in super().predict(images, confidence_threshold)
            ]

    accuracy = judge(Doubtful(), squares_version).accuracy
    assert [row["precision"] for row in accuracy.per_category.values()] == [precision, precision]
    assert ("background" in accuracy.confusion_names) == (precision < 1)
    assert accuracy.shown_threshold == (own or 0.25)


@pytest.mark.parametrize(("own", "f1"), [(0.25, 1.0), (0.5, 0.0), (None, 0.0)])
def test_several_labels_are_judged_at_the_threshold_that_a_user_gets(
    own: float | None, f1: float, squares_version: DatasetVersion
) -> None:
    """All labels are right, at 0.4; who does not say a threshold is judged at 0.5."""
    truth = {squares_version.read_image(item).tobytes(): item for item in squares_version.items("test")}

    class Labeller:
        task = "multilabel"
        categories = squares_version.categories
        decode = None if own is None else DecodeSpec(head="sigmoid", outputs=("y",), confidence_threshold=own)

        def predict(self, images: Sequence[np.ndarray], confidence_threshold: float | None = None) -> list[list[Annotation]]:
            names = [{one.category for one in truth[image.tobytes()].annotations} for image in images]
            return [[Annotation(category=name, confidence=0.4, origin="model") for name in sorted(some)] for some in names]

    assert judge(Labeller(), squares_version).accuracy.primary == pytest.approx(f1)  # type: ignore[arg-type]


def test_a_detector_is_judged_at_its_own_threshold_here_and_at_a_server(
    squares_version: DatasetVersion, tmp_path: Path
) -> None:
    """It finds one box at 0.5; from 0.6 on a user sees nothing, from the default 0.25 on the box."""
    artifact = write_halves(tmp_path / "artifact", categories=("red", "blue"))
    manifest = read_manifest(artifact, ArtifactManifest)
    assert manifest.decode is not None
    decode = msgspec.structs.replace(manifest.decode, confidence_threshold=0.6)
    write_manifest(artifact, msgspec.structs.replace(manifest, decode=decode))
    deploy_artifact(artifact, "parts", tmp_path / "repository")
    with open_predictor(artifact) as here:
        local = judge(here, squares_version).accuracy
    with run_server(tmp_path / "repository") as running, RemotePredictor(running.url, "parts") as there:
        remote = judge(there, squares_version).accuracy
    assert local.shown_threshold == remote.shown_threshold == 0.6
    assert remote.confusion == local.confusion == [[0, 0, 4], [0, 0, 4], [0, 0, 0]], "all missed, nothing wrong"


def test_a_report_claims_no_threshold_that_a_server_does_not_say(squares_version: DatasetVersion) -> None:
    class Silent(ColourDetector):
        confidence_threshold = None

    assert judge(Silent(), squares_version).accuracy.shown_threshold is None
