import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from bench_fakes import ColourDetector
from sweep_fakes import make_pictures, write_artifact, write_model

from sightline.bench.annotating import annotate_version
from sightline.bench.inference_sweep.measure import SweepRequest, sweep_inference
from sightline.bench.measure import measure_predictor
from sightline.bench.subjects import describe_subject, predict_contents, read_pictures
from sightline.core.annotations import Annotation
from sightline.core.errors import ImageTooLarge, InvalidInput
from sightline.core.manifests import DecodeSpec, InputSpec
from sightline.imaging.files.reading import encode_image
from sightline.runtime.predictor import open_predictor
from sightline.serving.deployments import deploy_artifact


def test_a_plain_predictor_is_described_by_what_it_says() -> None:
    facts = describe_subject(ColourDetector())
    assert (facts.kind, facts.task, facts.categories, facts.precision) == (
        "ColourDetector",
        "detection",
        ("red", "blue"),
        "fp32",
    )
    assert (facts.id, facts.engine, facts.url) == (None, None, None)


def test_a_remote_predictor_is_a_deployment_and_its_specs_are_read() -> None:
    class Remote(ColourDetector):
        url = "http://127.0.0.1:8000"
        input = InputSpec(width=320, height=256)
        decode = DecodeSpec(head="anchor_free", outputs=("o",), confidence_threshold=0.3)

    facts = describe_subject(Remote())
    assert (facts.kind, facts.url) == ("deployment", "http://127.0.0.1:8000")
    assert (facts.input_width, facts.input_height, facts.confidence_threshold) == (320, 256, 0.3)


@pytest.mark.parametrize("kind", ["model", "artifact"])
def test_a_predictor_tells_what_it_was_opened_from(kind: str, tmp_path: Path) -> None:
    folder = (write_model if kind == "model" else write_artifact)(tmp_path / "it")
    with open_predictor(folder) as predictor:
        facts = describe_subject(predictor)
        assert facts == describe_subject(predictor, folder)
    assert (facts.kind, facts.name, facts.precision) == (kind, "colours", "fp32")
    assert facts.id == hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()


def test_a_subject_is_called_what_its_workspace_or_repository_calls_it(tmp_path: Path) -> None:
    made = write_artifact(tmp_path / "made")
    shelved = tmp_path / "artifacts" / "colours-int8" / hashlib.sha256((made / "manifest.json").read_bytes()).hexdigest()[:16]
    shutil.copytree(made, shelved)
    deployed = deploy_artifact(made, "line-3", tmp_path / "repository")
    for folder, name in ((made, "colours"), (shelved, "colours-int8"), (deployed, "line-3")):
        with open_predictor(folder) as predictor:
            assert describe_subject(predictor).name == name
    request = SweepRequest(batch_sizes=(1,), iterations=1)
    version = make_pictures(tmp_path / "pictures", [("test", "red", "red")])
    swept = sweep_inference(shelved, version, request, threads=1)
    assert (swept.name, swept.subject.name) == ("colours-int8", "colours-int8")


def test_a_predictor_gets_no_picture_of_a_version_beyond_its_limit(tmp_path: Path) -> None:
    version = make_pictures(tmp_path, [("test", "red", "red"), ("test", "blue", "blue")])
    items, folder = list(version.items()), write_model(tmp_path / "it")
    most = max(item.width * item.height for item in items)
    with open_predictor(folder, max_pixels=most) as predictor:
        assert len(read_pictures(predictor, version, items)) == 2
    with open_predictor(folder, max_pixels=most - 1) as predictor:
        message = f"expected {items[0].file_name} to have at most {most - 1:,} pixels"
        with pytest.raises(ImageTooLarge, match=message):
            read_pictures(predictor, version, items)
        with pytest.raises(ImageTooLarge, match=message):
            annotate_version(version, predictor, out=tmp_path / "out", only_unlabelled=False)
        with pytest.raises(ImageTooLarge, match=message):
            measure_predictor(predictor, version, out=tmp_path / "report")


def test_a_task_that_there_is_not_is_refused_with_those_there_are() -> None:
    class Odd(ColourDetector):
        task = "detect"

    with pytest.raises(InvalidInput, match=r"expected a task of classification, .*, got 'detect'"):
        describe_subject(Odd())


def test_a_predictor_without_task_is_refused() -> None:
    class Bare:
        def predict(self, images: list[np.ndarray]) -> list[list[Annotation]]:
            return [[] for _ in images]

    with pytest.raises(InvalidInput, match="task and categories"):
        describe_subject(Bare())  # type: ignore[arg-type]


def test_encoded_pictures_are_decoded_for_a_local_subject_and_sent_as_they_are_to_a_remote_one() -> None:
    image = np.full((8, 8, 3), 128, np.uint8)
    image[2:6, 1:7] = (220, 30, 30)
    content = encode_image(image, "png")
    assert predict_contents(ColourDetector(), [content])[0][0].box_xyxy == (1.0, 2.0, 7.0, 6.0)

    class Remote(ColourDetector):
        def predict_encoded(self, contents: list[bytes], confidence_threshold: float | None = None) -> list[list[Annotation]]:
            assert contents == [content]
            return [[Annotation(category="blue")]]

    assert predict_contents(Remote(), [content])[0][0].category == "blue"
