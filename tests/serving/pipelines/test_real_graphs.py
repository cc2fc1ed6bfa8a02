"""Real graphs in real engines: networks that draw, and pipelines over them."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
from pipeline_fakes import FakeHost, make_work, open_pipeline, read_annotations, run, upload
from pipeline_graphs import (
    COLOURS,
    ZOO,
    make_enlarger_source,
    make_source,
    paint_quadrants,
    write_brightest_channel,
    write_channel_means,
    write_enlarger,
    write_quadrant_finder,
    write_tripler,
)

from sightline.core.manifests import DecodeSpec, InputSpec
from sightline.imaging.files.reading import read_image
from sightline.imaging.heads.pictures import write_pictures
from sightline.imaging.resizing import resize_image
from sightline.serving.http.predict.answers import describe_picture, join_pictures, write_answer
from sightline.serving.http.predict.requests import PredictOptions
from sightline.serving.inference.calls import Call, Inferred, ServedFacts
from sightline.serving.inference.served_model import ServedModel
from sightline.serving.inference.source import ModelSource
from sightline.serving.scheduling.work import Work
from sightline.serving.v2.answers import select_outputs
from sightline.serving.v2.describing import describe_model
from sightline.serving.v2.requests import InferRequest, RequestedOutput

UNIT = {"mean": (0.0, 0.0, 0.0), "std": (255.0, 255.0, 255.0)}


def open_model(source: ModelSource) -> ServedModel:
    model = ServedModel(source, all_threads=2, max_pixels=1_000_000)
    model.open()
    model.warm_up()
    return model


def draw(facts: ServedFacts, inferred: Inferred) -> list[np.ndarray]:
    assert facts.decode is not None
    return list(write_pictures(facts.decode, inferred.outputs, inferred.placements))


def noise(seed: int, width: int, height: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def double(image: np.ndarray) -> np.ndarray:
    return image.repeat(2, axis=0).repeat(2, axis=1)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_super_resolution_network_draws_pictures_of_every_size_side_by_side(tmp_path: Path, engine: str) -> None:
    model = open_model(make_enlarger_source(write_enlarger(tmp_path / "model.onnx"), engine=engine))
    images = [noise(0, 13, 9), noise(1, 20, 31), noise(2, 13, 9)]
    works = [
        Work(model, Call(model="enlarger", write_answer=draw, pictures=(upload(image),)), lambda _: None) for image in images
    ]
    model.execute(works, alone=False)
    for work, image in zip(works, images, strict=True):
        assert work.error is None
        np.testing.assert_array_equal(work.result[0], double(image))
    model.close()


def test_a_padded_picture_comes_back_without_its_padding(tmp_path: Path) -> None:
    spec = InputSpec(width=8, height=4, resize="pad")
    model = open_model(make_enlarger_source(write_enlarger(tmp_path / "model.onnx"), input=spec))
    image = noise(3, 13, 9)
    outputs, placements = model.run_pictures([image])
    assert outputs["drawn"].shape == (1, 3, 24, 32)  # 16 x 12, twice as large
    np.testing.assert_array_equal(write_pictures(make_enlarger_source(tmp_path).decode, outputs, placements)[0], double(image))
    model.close()


def test_a_network_of_a_fixed_size_answers_with_what_it_saw_of_the_picture(tmp_path: Path) -> None:
    graph = write_enlarger(tmp_path / "model.onnx", 16, 16)
    model = open_model(make_enlarger_source(graph, input=InputSpec(width=16, height=16)))
    image = noise(4, 40, 20)
    outputs, placements = model.run_pictures([image])
    drawn = write_pictures(make_enlarger_source(graph).decode, outputs, placements)[0]
    np.testing.assert_array_equal(drawn, double(resize_image(image, 16, 8)))  # the letterbox's bands are gone
    model.close()


def make_zoo(folder: Path) -> FakeHost:
    """Served models: quadrants -> crops -> colour."""
    find = make_source(
        "finder",
        write_quadrant_finder(folder / "finder.onnx"),
        task="detection",
        categories=("patch",),
        input=InputSpec(width=16, height=16, resize="stretch"),
        decode=DecodeSpec(head="scored_boxes", outputs=("scores", "boxes"), parameters={"normalised": False}),
    )
    sort = make_source(
        "colours",
        write_brightest_channel(folder / "colours.onnx"),
        task="classification",
        categories=COLOURS,
        input=InputSpec(width=8, height=8, resize="stretch"),
        decode=DecodeSpec(head="softmax", outputs=("logits",)),
    )
    models = [open_model(source) for source in (find, sort)]
    return FakeHost(*models)  # type: ignore[arg-type]


def test_detector_crop_classifier_with_real_engines_gives_every_thread_its_own_answer(tmp_path: Path) -> None:
    model = open_pipeline(ZOO, host=make_zoo(tmp_path))

    def answer(seed: int) -> tuple[Any, Any]:
        image, expected = paint_quadrants(seed)
        (found,) = run(model, image)
        return {one.box_xyxy: one.attributes["colour"] for one in found}, expected

    with ThreadPoolExecutor(16) as pool:
        pairs = list(pool.map(answer, range(48)))
    assert sum(len(expected) for _, expected in pairs) > 100
    for found, expected in pairs:
        assert found == expected


def test_a_batch_gives_bit_for_bit_what_single_calls_give(tmp_path: Path) -> None:
    model = open_pipeline(ZOO, host=make_zoo(tmp_path))
    images = [paint_quadrants(seed)[0] for seed in range(6)]
    assert run(model, *images) == [run(model, image)[0] for image in images]


def test_networks_served_as_tensors_become_a_classifier_by_their_declaration(tmp_path: Path) -> None:
    means = open_model(make_source("means", write_channel_means(tmp_path / "means.onnx")))
    tripler = open_model(make_source("tripler", write_tripler(tmp_path / "tripler.onnx")))
    declaration = b"""{"steps": [
        {"name": "see", "model": "means", "input": {"name": "x", "width": 8, "height": 8, "resize": "stretch"}},
        {"name": "read", "of": "see", "model": "tripler", "categories": ["red", "green", "blue"],
         "decode": {"head": "softmax", "outputs": ["logits"], "confidence_threshold": 0.0}}]}"""
    model = open_pipeline(declaration, means, tripler)  # type: ignore[arg-type]
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, :, 1], image[:, :, 2] = 255, 51
    (found,) = run(model, image)
    weights = np.exp([0, 3, 0.6])  # three times the means 0, 1 and 0.2
    assert [one.category for one in found] == ["green", "blue", "red"]
    assert found[0].confidence == pytest.approx(weights[1] / weights.sum(), rel=1e-5)


def test_a_picture_drawn_large_is_annotated_in_the_pixels_of_the_request(tmp_path: Path) -> None:
    host = make_zoo(tmp_path)
    host.models["enlarger"] = open_model(make_enlarger_source(write_enlarger(tmp_path / "enlarger.onnx")))
    declaration = b"""{"steps": [{"name": "large", "model": "enlarger"}, {"name": "find", "of": "large", "model": "finder"},
        {"name": "patches", "of": "find", "crop": {}}, {"name": "colour", "of": "patches", "model": "colours"}]}"""
    model = open_pipeline(declaration, host=host)
    for seed in range(8):
        image, expected = paint_quadrants(seed)
        (found,) = run(model, image)
        assert {one.box_xyxy: one.attributes["colour"] for one in found} == expected


def test_v2_and_predict_answer_for_pipelines_and_for_networks_that_draw(tmp_path: Path) -> None:
    def ask(*names: str) -> Any:
        request = InferRequest(inputs={}, outputs=tuple(RequestedOutput(name, True) for name in names))
        return lambda facts, inferred: select_outputs(request, facts, inferred)

    image, expected = paint_quadrants(5)
    zoo = open_pipeline(ZOO, host=make_zoo(tmp_path))
    for names in ((), ("annotations",)):
        ((output, array),) = run(zoo, image, write_answer=ask(*names))
        assert (output.name, array.shape) == ("annotations", (1,))
        found = {tuple(one["box_xyxy"]): one["attributes"]["colour"] for one in json.loads(array[0])}
        assert found == expected
    enlarger = open_model(make_enlarger_source(write_enlarger(tmp_path / "enlarger.onnx")))
    chain = open_pipeline(b'{"steps": [{"name": "large", "model": "enlarger"}]}', enlarger)  # type: ignore[arg-type]
    outputs = {output.name: array for output, array in run(chain, image, write_answer=ask("image", "drawn"))}
    decoded = cv2.imdecode(np.frombuffer(outputs["image"][0], np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(decoded, double(image))
    assert outputs["drawn"].shape == (1, 3, 96, 128)
    assert [one.category for one in run(zoo, image, write_answer=read_annotations)[0]] == ["patch"] * len(expected)


def read_picture(content: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB))


def test_predict_answers_with_the_picture_that_a_network_draws(tmp_path: Path) -> None:
    enlarger = open_model(make_enlarger_source(write_enlarger(tmp_path / "enlarger.onnx")))
    image = noise(6, 24, 16)

    def ask(options: PredictOptions) -> Any:
        work = Work(
            enlarger, Call(model="enlarger", write_answer=partial(write_answer, options), images=(image,)), lambda _: None
        )
        enlarger.execute([work], alone=True)
        return work.error or work.result

    for options in (PredictOptions(), PredictOptions(format="png")):
        answer = ask(options)
        assert answer.media_type == b"image/png"
        np.testing.assert_array_equal(read_picture(answer.body), double(image))
    answer = ask(PredictOptions(format="jpeg"))
    assert (answer.media_type, answer.body[:2]) == (b"image/jpeg", b"\xff\xd8")
    assert read_picture(answer.body).shape == (32, 48, 3)
    assert "format=mask needs a task of instance, semantic" in str(ask(PredictOptions(format="mask")))


def test_predict_answers_a_list_of_pictures_with_a_list_of_drawn_ones(tmp_path: Path) -> None:
    chain = open_pipeline(
        b'{"steps": [{"name": "large", "model": "enlarger"}]}',
        open_model(make_enlarger_source(write_enlarger(tmp_path / "enlarger.onnx"))),  # type: ignore[arg-type]
    )
    images = [noise(7, 24, 16), noise(8, 5, 9)]
    described = [run(chain, image, write_answer=partial(describe_picture, "a.png", PredictOptions())) for image in images]
    pictures = json.loads(join_pictures(described).body)["pictures"]
    assert [one["image"] for one in pictures] == [{"width": 24, "height": 16}, {"width": 5, "height": 9}]
    for one, image in zip(pictures, images, strict=True):
        np.testing.assert_array_equal(read_picture(base64.b64decode(one["picture_png"])), double(image))


def test_predict_answers_for_a_pipeline_as_for_a_detector_and_draws_it(tmp_path: Path) -> None:
    model = open_pipeline(ZOO, host=make_zoo(tmp_path))
    image, expected = paint_quadrants(5)
    found = json.loads(run(model, image, write_answer=partial(write_answer, PredictOptions())).body)
    assert {tuple(one["box_xyxy"]): one["attributes"]["colour"] for one in found["annotations"]} == expected
    assert (found["deployment"], found["image"]) == ("zoo", {"width": 64, "height": 48})
    work = make_work(model, partial(write_answer, PredictOptions(format="png")), images=(image,), keep_images=True)
    model.execute([work], alone=True)
    drawn = read_picture(work.result.body)
    assert drawn.shape == image.shape
    assert (drawn != image).any()


def test_metadata_names_the_outputs_that_are_made_of_the_graphs(tmp_path: Path) -> None:
    enlarger = open_model(make_enlarger_source(write_enlarger(tmp_path / "enlarger.onnx")))
    zoo = open_pipeline(ZOO, host=make_zoo(tmp_path))
    drawing, finding = describe_model(enlarger.facts, [1]), describe_model(zoo.facts, [1])
    assert [output["name"] for output in drawing["outputs"]] == ["drawn"]
    assert drawing["parameters"]["also_answers"]["name"] == "image"
    assert [output["name"] for output in finding["outputs"]] == ["annotations"]
    assert "also_answers" not in finding["parameters"]
    assert [(one["datatype"], one["shape"]) for one in finding["inputs"]] == [("BYTES", (-1, 1))]


def test_real_networks_name_the_dogs_and_buses_that_a_detector_finds(shared_data: Path) -> None:
    """FastestDet finds, SqueezeNet names; the expected names come from SqueezeNet asked by hand about each crop."""
    fastest, squeeze = (
        shared_data / "models" / "fastestdet-coco",
        shared_data / "models" / "winml-onnx" / "SqueezeNet_fp16.onnx",
    )
    rows = (shared_data / "classification" / "imagenet-sample" / "labels.csv").read_text().splitlines()[1:]
    known = {int(index): name for _, index, _, name in (row.split(",")[:4] for row in rows)}
    detector = make_source(
        "coco",
        fastest / "FastestDet.onnx",
        task="detection",
        categories=tuple(name for name in (fastest / "coco.names").read_text().split("\n") if name),
        input=InputSpec(name="input.1", width=352, height=352, colour="BGR", resize="stretch"),
        decode=DecodeSpec(head="grid_objects", outputs=("758",), confidence_threshold=0.65, iou_threshold=0.45),
    )
    sorter = make_source(
        "imagenet",
        squeeze,
        task="classification",
        categories=tuple(known.get(index, f"class {index}") for index in range(1000)),
        input=InputSpec(
            name="data_0",
            width=224,
            height=224,
            colour="BGR",
            mean=(104.0, 117.0, 123.0),
            std=(1.0, 1.0, 1.0),
            resize="stretch",
        ),
        decode=DecodeSpec(head="probabilities", outputs=("softmaxout_1",)),
    )
    declaration = b"""{"steps": [{"name": "find", "model": "coco"}, {"name": "crops", "of": "find", "crop": {}},
                                 {"name": "kind", "of": "crops", "model": "imagenet"}]}"""
    model = open_pipeline(declaration, open_model(detector), open_model(sorter))  # type: ignore[arg-type]
    images = [read_image(path) for path in sorted(fastest.glob("*.jpg"))]
    session = onnxruntime.InferenceSession(squeeze, providers=["CPUExecutionProvider"])
    answers = run(model, *images)
    assert [len(found) for found in answers] == [5, 1, 3]
    for image, found in zip(images, answers, strict=True):
        for one in found:
            left, top, right, bottom = one.box_xyxy
            crop = image[int(np.floor(top)) : int(np.ceil(bottom)), int(np.floor(left)) : int(np.ceil(right))]
            pixels = resize_image(crop, 224, 224)[:, :, ::-1] - np.array([104, 117, 123], np.float32)
            (scores,) = session.run(None, {"data_0": pixels.transpose(2, 0, 1)[None].astype(np.float16)})
            best = int(scores.reshape(1000).argmax())
            assert one.attributes["kind"] == sorter.categories[best]
            assert float(one.attributes["kind_confidence"]) == pytest.approx(float(scores.reshape(1000)[best]), abs=2e-3)
