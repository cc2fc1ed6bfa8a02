import numpy as np
import pytest
from bench_fakes import ColourDetector

from sightline.bench.subjects import describe_subject, predict_contents
from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput
from sightline.core.manifests import DecodeSpec, InputSpec
from sightline.imaging.reading import encode_image


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


def test_a_predictor_inside_a_wrapper_tells_how_it_runs() -> None:
    class Wrapper:
        task, categories = ColourDetector.task, ColourDetector.categories
        predictor = ColourDetector()

        def predict(self, images: list[np.ndarray], confidence_threshold: float | None = None) -> list[list[Annotation]]:
            return self.predictor.predict(images, confidence_threshold)

    assert describe_subject(Wrapper()).precision == "fp32"


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
