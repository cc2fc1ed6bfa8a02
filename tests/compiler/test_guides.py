from pathlib import Path

import msgspec
import numpy as np
import pytest
from square_pictures import SIDE, make_squares
from toy import make_version
from toy_quantisers import BrokenQuantiser, use_quantiser

from sightline.compiler import guides
from sightline.compiler.compile import compile_model
from sightline.compiler.guides import make_answer_guide, make_guide, score_answers, score_tensors
from sightline.compiler.quantisers import table
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import Unsupported
from sightline.core.folders import read_manifest
from sightline.core.manifests import DecodeSpec, InputSpec, ModelManifest, Task
from sightline.data.versions import DatasetVersion, VersionWriter


def make_box(confidence: float, left: float = 0.0) -> Annotation:
    return Annotation(category="bars", box_xyxy=(left, 0.0, left + 10, 10.0), confidence=confidence)


def drop_labels(version: DatasetVersion, folder: Path) -> DatasetVersion:
    writer = VersionWriter(folder, "unlabelled", Categories([]), version.blobs)
    for item in version.items():
        writer.add(msgspec.structs.replace(item, annotations=()))
    return writer.close()


def test_objects_are_counted_at_five_thresholds(model: Path) -> None:
    manifest = read_manifest(model, ModelManifest)
    decode = DecodeSpec(head="scored_boxes", outputs=("scores", "boxes"), confidence_threshold=0.5)
    detector = msgspec.structs.replace(manifest, task="detection", decode=decode)
    before, after = [[make_box(0.9), make_box(0.45, 50)]], [[make_box(0.85)]]
    # Thresholds 0.3 and 0.4 show two objects, 0.5 to 0.7 one: 7 in all, and the second is missing at two.
    assert score_answers(detector, before, after, [(100, 100)]) == pytest.approx(5 / 7)


@pytest.mark.parametrize("task", ["detection", "multilabel"])
def test_pictures_that_show_nothing_guide_nothing(task: Task, model: Path) -> None:
    manifest = msgspec.structs.replace(read_manifest(model, ModelManifest), task=task)
    unsure = [Annotation(category="bars", confidence=0.05, box_xyxy=(0, 0, 9, 9) if task == "detection" else None)]
    with pytest.raises(Unsupported, match="shows nothing on the calibration pictures"):
        score_answers(manifest, [unsure, []], [unsure, []], [(100, 100)] * 2)


def test_tensors_score_as_the_gate_counts() -> None:
    exact = {"y": np.array([[3.0, 4.0]], np.float32)}
    found = {"y": np.array([[3.3, 4.4]], np.float32)}  # a tenth more everywhere: 10 % of error is worth 1 point
    assert score_tensors([exact], [(0, found)]) == pytest.approx(0.99)
    assert score_tensors([exact], [(0, exact)]) == 1.0


def test_fp32_keeps_all_of_its_answers_and_a_constant_does_not(model: Path, tmp_path: Path) -> None:
    version, manifest = make_version(tmp_path, train=12, val=0), read_manifest(model, ModelManifest)
    logits = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2, 0, 1]]
    guide = make_answer_guide(
        manifest, version, list(version.items()), 0.01, lambda: False, lambda batch: {"logits": logits[: len(batch)]}
    )
    assert [len(batch) for batch in guide.batches] == [8, 4]
    assert guide.score([(0, {"logits": logits}), (1, {"logits": logits[:4]})]) == 1.0
    constant = np.tile(logits[:1], (4, 1))
    assert guide.score([(1, {"logits": constant})]) == 0.5  # 0, 1, 2, 0 against 0, 0, 0, 0


def test_labels_guide_a_detector_by_map_and_by_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = make_squares(tmp_path / "data", "detection", ("square",))
    items = list(version.items("train"))
    manifest = make_detector_manifest()
    for confidence, expected in ((0.9, 1.0), (0.2, 0.5)):  # nothing is shown any more, and mAP does not see it
        answers = [[msgspec.structs.replace(one, confidence=confidence) for one in item.annotations] for item in items]
        monkeypatch.setattr(guides, "decode", lambda *facts, said=answers: said[8 * facts[2] : 8 * facts[2] + 8])
        guide = make_guide(manifest, version, items, 0.01, lambda: False)
        assert guide.score([(place, {}) for place in range(3)]) == pytest.approx(expected)


def make_detector_manifest() -> ModelManifest:
    return ModelManifest(
        name="squares",
        task="detection",
        network="test",
        categories=("square",),
        input=InputSpec(width=SIDE, height=SIDE, resize="stretch"),
        decode=DecodeSpec(head="anchor_free", outputs=("scores", "sides"), confidence_threshold=0.25),
        parameter_count=1,
        created_at="2026-11-27T00:00:00+00:00",
        files={},
    )


def test_what_a_model_alone_labelled_guides_nothing(model: Path, tmp_path: Path) -> None:
    version, manifest = make_version(tmp_path, train=12, val=0), read_manifest(model, ModelManifest)
    guessed = (Annotation(category="bars", confidence=0.9, origin="model"),)
    items = list(version.items())
    items[:3] = [msgspec.structs.replace(item, annotations=guessed) for item in items[:3]]
    guide = make_guide(manifest, version, items, 0.01, lambda: False)
    assert [len(batch) for batch in guide.batches] == [8, 1]


def test_without_labels_fp32s_answers_guide_the_mixed_quantiser(
    model: Path, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_quantiser(monkeypatch, BrokenQuantiser)
    monkeypatch.setitem(table.QUANTISERS, "mixed", "sightline.compiler.quantisers.mixed:MixedQuantiser")
    monkeypatch.setattr("sightline.compiler.compilation.RESCUE_QUANTISERS", ("mixed",))
    unlabelled = drop_labels(version, tmp_path / "unlabelled")
    result = compile_model(model, tmp_path / "out", unlabelled, max_drop=0.05, calibration_images=32)
    assert result.manifest.calibration["quantiser"]["quantiser"] == "mixed"
    assert result.report.comparison is not None
    assert result.report.comparison.evidence == "answers"
    assert result.report.comparison.change >= -0.05
