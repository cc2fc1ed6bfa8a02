import io
import itertools
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from sightline.core.errors import Conflict, CorruptFile, ImageTooLarge, InvalidInput, NotFound, Unsupported
from sightline.core.folders import hash_files, write_manifest
from sightline.core.manifests import (
    ArtifactManifest,
    DecodeSpec,
    DeploymentManifest,
    InputSpec,
    ModelManifest,
    compute_manifest_id,
)
from sightline.runtime.predictor import open_predictor

NAMES = ("red", "green", "blue")
SIDE = 8


def write_model(folder: Path, input_name: str = "images") -> Path:
    """A Model that answers with the strongest colour of a picture: a pool over pixels is all it does."""
    folder.mkdir(parents=True)
    nodes = [
        helper.make_node("GlobalAveragePool", [input_name], ["mean"], "pool"),
        helper.make_node("Flatten", ["mean"], ["flat"], "flatten"),
        helper.make_node("Mul", ["flat", "ten"], ["logits"], "scale"),
    ]
    graph = helper.make_graph(
        nodes,
        "colour",
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.float32(10), "ten")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx")
    manifest = ModelManifest(
        name="colours",
        task="classification",
        network="test",
        categories=NAMES,
        input=InputSpec(width=SIDE, height=SIDE, resize="stretch"),
        decode=DecodeSpec(head="softmax", outputs=("logits",)),
        parameter_count=1,
        created_at="2026-11-21T00:00:00+00:00",
        files=hash_files(folder),
    )
    write_manifest(folder, manifest)
    return folder


def write_artifact(folder: Path, engine: str) -> Path:
    model = write_model(folder)
    manifest = ArtifactManifest(
        name="colours",
        model_id="0" * 64,
        task="classification",
        categories=NAMES,
        input=InputSpec(width=SIDE, height=SIDE, resize="stretch"),
        decode=DecodeSpec(head="softmax", outputs=("logits",)),
        device="cpu",
        engine=engine,
        precision="fp32",
        graph_file="model.onnx",
        streams=2,
        threads=1,
        created_at="2026-11-21T00:00:00+00:00",
        files=hash_files(model),
    )
    write_manifest(folder, manifest)
    return folder


def paint(index: int, width: int = 10, height: int = 6) -> np.ndarray:
    image = np.full((height, width, 3), 30, np.uint8)
    image[..., index] = 220
    return image


def encode(index: int) -> bytes:
    return cv2.imencode(".png", paint(index)[:, :, ::-1])[1].tobytes()


@pytest.mark.parametrize("engine", ["reference", "onnxruntime", "openvino"])
def test_a_model_folder_answers_in_fp32_on_every_engine(engine: str, tmp_path: Path) -> None:
    with open_predictor(write_model(tmp_path / "m"), engine) as predictor:
        answers = predictor.predict([paint(2), paint(0, 30, 40)])
        assert [answer[0].category for answer in answers] == ["blue", "red"]
        # softmax of 10 * (220, 30, 30) / 255: 1 / (1 + 2 e^(-10 * 190 / 255))
        assert answers[0][0].confidence == pytest.approx(1 / (1 + 2 * np.exp(-1900 / 255)), rel=1e-4)
        assert (predictor.precision, predictor.task, predictor.engine) == ("fp32", "classification", engine)


def test_no_pictures_give_no_answers(tmp_path: Path) -> None:
    with open_predictor(write_model(tmp_path / "m")) as predictor:
        assert predictor.predict([]) == []
        assert list(predictor.predict_stream([])) == []


def test_more_pictures_than_a_batch_are_all_answered(tmp_path: Path) -> None:
    with open_predictor(write_model(tmp_path / "m")) as predictor:
        answers = predictor.predict([paint(index % 3) for index in range(70)])
    assert [answer[0].category for answer in answers] == [NAMES[index % 3] for index in range(70)]


def test_a_picture_gets_a_list_and_a_list_of_pictures_a_list_each(tmp_path: Path) -> None:
    path = tmp_path / "green.png"
    path.write_bytes(encode(1))
    with open_predictor(write_model(tmp_path / "m")) as predictor:
        for picture in (path, str(path), encode(1), bytearray(encode(1)), memoryview(encode(1)), paint(1)):
            assert predictor.predict(picture) == predictor.predict([picture])[0] == predictor.predict([paint(1)])[0]
        answers = predictor.predict([encode(2), path, paint(0), str(path)] * 10)
    assert [answer[0].category for answer in answers] == ["blue", "green", "red", "green"] * 10


def test_a_long_list_is_decoded_a_batch_at_a_time(tmp_path: Path) -> None:
    taken, taken_before_inference = 0, []

    def give() -> Iterator[bytes]:
        nonlocal taken
        for index in range(70):
            taken += 1
            yield encode(index % 3)

    with open_predictor(write_model(tmp_path / "m")) as predictor:
        infer = predictor.predict_raw

        def watch(batch: np.ndarray) -> dict[str, np.ndarray]:
            taken_before_inference.append(taken)
            return dict(infer(batch))

        predictor.predict_raw = watch  # type: ignore[method-assign]
        assert len(predictor.predict(give())) == 70
    assert taken_before_inference == [32, 64, 70]


@pytest.mark.parametrize("picture", [None, 3, np.zeros((2, SIDE, SIDE, 3), np.uint8), io.BytesIO(b"x")])
def test_what_is_no_picture_is_refused_with_what_would_be_one(picture: object, tmp_path: Path) -> None:
    expected = pytest.raises(InvalidInput, match=r"^expected .*\(H, W, 3\).*, got ")
    with open_predictor(write_model(tmp_path / "m")) as predictor, expected:
        predictor.predict([picture])  # type: ignore[list-item]


@pytest.mark.parametrize("threshold", [-0.1, 1.5, 50, float("nan")])
def test_a_threshold_outside_0_to_1_is_refused(threshold: float, tmp_path: Path) -> None:
    with open_predictor(write_model(tmp_path / "m")) as predictor:
        for ask in (predictor.predict, predictor.predict_stream):
            with pytest.raises(InvalidInput, match=f"threshold in 0..1, got {threshold}; 0.5 is"):
                ask([paint(1)], threshold)
        assert predictor.predict([paint(1)], 0) and predictor.predict([paint(1)], 1)


@pytest.mark.parametrize("images", [None, 3, Image.new("RGB", (SIDE, SIDE)), io.BytesIO(b"one line\nand another")])
def test_what_is_neither_a_picture_nor_several_is_refused_with_what_would_be(images: Any, tmp_path: Path) -> None:
    words = rf"^expected .*\(H, W, 3\).*, or a list of them, got {type(images).__name__}$"
    with open_predictor(write_model(tmp_path / "m")) as predictor:
        for ask in (predictor.predict, predictor.predict_stream):
            with pytest.raises(InvalidInput, match=words):
                ask(images)


def test_the_pixel_limit_of_the_settings_holds_unless_another_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, folder = tmp_path / "a.png", write_model(tmp_path / "m")
    content = cv2.imencode(".png", paint(0, 40, 30)[:, :, ::-1])[1].tobytes()  # 1,200 pixels
    path.write_bytes(content)
    monkeypatch.setenv("SIGHTLINE_MAX_IMAGE_PIXELS", "1000")
    with open_predictor(folder) as predictor:
        for picture in (path, content):
            with pytest.raises(ImageTooLarge, match="SIGHTLINE_MAX_IMAGE_PIXELS"):
                predictor.predict(picture)
            with pytest.raises(ImageTooLarge):
                list(predictor.predict_stream([picture]))
    with open_predictor(folder, max_pixels=1200) as predictor:
        assert predictor.predict(path)[0].category == "red"
    monkeypatch.setenv("SIGHTLINE_MAX_IMAGE_PIXELS", "1200")
    with open_predictor(folder) as predictor:
        assert [answer[0].category for answer in predictor.predict_stream([path, content])] == ["red", "red"]


def test_an_artifact_opens_as_its_manifest_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_THREADS", "2")
    with open_predictor(write_artifact(tmp_path / "a", "onnxruntime")) as predictor:
        assert (predictor.engine, predictor.streams, predictor.threads) == ("onnxruntime", 2, 1)
    with open_predictor(tmp_path / "a", engine="openvino", streams=1, threads=2) as predictor:
        assert (predictor.engine, predictor.streams, predictor.threads) == ("openvino", 1, 2)


@pytest.mark.parametrize(
    ("tuned", "limit", "opened"),  # (streams, threads of each)
    [
        ((4, 1), 8, (4, 1)),
        ((4, 1), 3, (3, 1)),
        ((1, 4), 3, (1, 3)),
        ((3, 2), 4, (2, 2)),
        ((2, 2), 1, (1, 1)),
    ],
)
def test_the_threads_of_the_settings_bound_what_an_artifact_was_tuned_for(
    tuned: tuple[int, int], limit: int, opened: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_artifact(tmp_path / "a", "onnxruntime")
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=ArtifactManifest)
    (folder / "manifest.json").unlink()
    write_manifest(folder, msgspec.structs.replace(manifest, streams=tuned[0], threads=tuned[1]))
    monkeypatch.setenv("SIGHTLINE_THREADS", str(limit))
    with open_predictor(folder) as predictor:
        assert (predictor.streams, predictor.threads) == opened
    with open_predictor(folder, streams=3, threads=2) as predictor:
        assert (predictor.streams, predictor.threads) == (3, 2)  # whoever asks gets it


def test_a_model_runs_on_the_threads_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_THREADS", "3")
    with open_predictor(write_model(tmp_path / "m")) as predictor:
        assert (predictor.streams, predictor.threads) == (1, 3)
    with open_predictor(tmp_path / "m", streams=2) as predictor:
        assert (predictor.streams, predictor.threads) == (2, 1)


@pytest.mark.parametrize("streams", [1, 2, 4])
def test_a_stream_takes_arrays_bytes_and_paths_and_keeps_their_order(streams: int, tmp_path: Path) -> None:
    (tmp_path / "green.png").write_bytes(encode(1))
    pictures = [paint(0), encode(2), tmp_path / "green.png"] * 15
    with open_predictor(write_model(tmp_path / "m"), streams=streams, threads=1) as predictor:
        answers = list(predictor.predict_stream(pictures))
    assert [answer[0].category for answer in answers] == ["red", "blue", "green"] * 15


def test_a_stream_reads_only_a_little_ahead(tmp_path: Path) -> None:
    taken = []

    def give() -> Iterator[np.ndarray]:
        for index in range(1000):
            taken.append(index)
            yield paint(index % 3)

    with open_predictor(write_model(tmp_path / "m"), streams=2, threads=1) as predictor:
        stream = predictor.predict_stream(give())
        next(stream)
        assert len(taken) < 20
        stream.close()
        assert predictor.predict([paint(1)])[0][0].category == "green"


def test_a_broken_picture_ends_the_stream_with_its_error_and_nothing_hangs(tmp_path: Path) -> None:
    with open_predictor(write_model(tmp_path / "m"), streams=2, threads=1) as predictor:
        with pytest.raises(InvalidInput):
            list(predictor.predict_stream([encode(0), b"no picture", encode(1)]))
        assert [answer[0].category for answer in predictor.predict_stream([encode(2)])] == ["blue"]


def test_a_closed_predictor_says_so_in_a_stream_too(tmp_path: Path) -> None:
    predictor = open_predictor(write_model(tmp_path / "m"))
    predictor.close()
    with pytest.raises(InvalidInput, match="closed; open it again"):
        list(predictor.predict_stream([paint(1)]))
    with pytest.raises(InvalidInput, match="closed; open it again"):
        predictor.predict([encode(1), encode(2)])


@pytest.mark.parametrize(("streams", "batch"), [(1, 1), (2, 1), (4, 1), (1, 8)])
def test_every_picture_before_a_broken_one_is_answered(streams: int, batch: int, tmp_path: Path) -> None:
    with open_predictor(write_model(tmp_path / "m"), streams=streams, threads=1, batch=batch) as predictor:
        for place in (0, 1, 10):
            answers = predictor.predict_stream([paint(1)] * place + [b"no picture"] + [paint(1)] * 5)
            assert [answer[0].category for answer in itertools.islice(answers, place)] == ["green"] * place
            with pytest.raises(InvalidInput):
                next(answers)


def test_several_threads_may_predict_at_once(tmp_path: Path) -> None:
    wrong: list[int] = []
    with open_predictor(write_model(tmp_path / "m"), streams=2, threads=1) as predictor:

        def ask(index: int) -> None:
            answers = [predictor.predict([paint(index)])[0][0].category for _ in range(20)]
            wrong.extend(index for answer in answers if answer != NAMES[index])

        threads = [threading.Thread(target=ask, args=(index % 3,)) for index in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_is_told_to_open_its_own_rather_than_wait_for_ever(tmp_path: Path) -> None:
    with open_predictor(write_model(tmp_path / "m")) as predictor:
        predictor.predict(paint(0))
        process = os.fork()
        if process == 0:
            asked = [
                lambda: predictor.predict(paint(0)),
                lambda: predictor.predict_stream([]),
                lambda: predictor.predict_raw(paint(0)),
            ]
            told = 0
            for ask in asked:
                try:
                    ask()
                except Conflict as error:
                    told += "load it in this process" in str(error)
            os._exit(len(asked) - told)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


def test_one_that_is_sent_to_another_process_is_refused_with_what_to_send(tmp_path: Path) -> None:
    with (
        open_predictor(write_model(tmp_path / "m")) as predictor,
        pytest.raises(Unsupported, match="load it there, once, by its name"),
    ):
        pickle.dumps(predictor)


def test_raw_outputs_come_by_name(tmp_path: Path) -> None:
    with open_predictor(write_model(tmp_path / "m")) as predictor:
        outputs = predictor.predict_raw(np.ones((2, 3, SIDE, SIDE), np.float32))
    np.testing.assert_allclose(outputs["logits"], np.full((2, 3), 10), rtol=1e-6)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "model.onnx").write_bytes(b"x" + (folder / "model.onnx").read_bytes()[1:])
    with pytest.raises(CorruptFile):
        open_predictor(folder)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"manifest\.json"):
        open_predictor(tmp_path)
    write_manifest(tmp_path, DeploymentManifest(name="x", version=1, artifact_id="0" * 64, created_at="now"))
    with pytest.raises(InvalidInput, match="got a deployment"):
        open_predictor(tmp_path)


def test_a_graph_without_the_manifests_tensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="'images'"):
        open_predictor(write_model(tmp_path / "m", input_name="pictures"))


def test_the_manifest_is_at_hand(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    with open_predictor(folder) as predictor:
        stored = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=ModelManifest)
        assert compute_manifest_id(predictor.manifest) == compute_manifest_id(stored)


def test_it_is_shown_in_a_line(tmp_path: Path) -> None:
    shown = "Predictor('colours', task='classification', engine='onnxruntime', device='cpu', precision='fp32', folder='it')"
    for folder in (write_model(tmp_path / "m" / "it"), write_artifact(tmp_path / "a" / "it", "onnxruntime")):
        with open_predictor(folder, "onnxruntime") as predictor:
            assert repr(predictor) == shown
