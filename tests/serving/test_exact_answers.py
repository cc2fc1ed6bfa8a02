"""What the server answers, alone or beside others, is what the bare Artifact answers in this process, to the last bit.

A lone request runs in a session with all threads, others in the one that the Artifact was tuned for, some in batches.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from small_artifacts import write_convolutions, write_halves
from whole_server import Running, run_server

from sightline.core.annotations import Annotation
from sightline.imaging.files.reading import decode_image, encode_image
from sightline.imaging.preprocessing import place_batch, prepare_batch
from sightline.runtime.predictor import open_predictor
from sightline.serving.client.blocking import Client
from sightline.serving.deployments import deploy_artifact

THREADS = 32
ROUNDS = 4
SIZES = ((64, 64), (33, 71), (640, 480), (1, 1), (200, 20), (31, 32), (301, 299), (128, 256))
Tensors = dict[str, np.ndarray]


class Expected:
    """A picture and what the Artifact says of it. Attributes: tensor: as the graph takes it, (1, 3, H, W) float32."""

    def __init__(self, content: bytes, tensor: np.ndarray, raw: Tensors, of_tensor: Tensors, annotations: Any) -> None:
        self.content = content
        self.tensor = tensor
        self.raw, self.of_tensor = raw, of_tensor
        self.annotations = annotations


def make_picture(seed: int, width: int, height: int, kind: str) -> bytes:
    """Noise over a slope, so that every pixel counts."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(0, 200, width)[None, :, None] * np.linspace(0.2, 1, height)[:, None, None]
    image = np.clip(slope + rng.integers(0, 56, (height, width, 3)), 0, 255).astype(np.uint8)
    return encode_image(image, "png" if kind == "png" else "jpeg")


def ask_artifact(folder: Path) -> list[Expected]:
    """The Artifact's own answers, one picture at a time."""
    contents = [make_picture(seed, *size, "png" if seed % 2 else "jpeg") for seed, size in enumerate(SIZES)]
    expected = []
    with open_predictor(folder) as predictor:
        for content in contents:
            image = decode_image(content)
            tensor = prepare_batch([image], predictor.input)[0]
            raw = predictor.predict_raw(place_batch([image], predictor.input)[0])
            annotations = predictor.predict([image], confidence_threshold=0.0)[0]
            expected.append(Expected(content, tensor, dict(raw), dict(predictor.predict_raw(tensor)), annotations))
    return expected


def check_equal(found: Tensors, wanted: Tensors) -> None:
    assert found.keys() == wanted.keys()
    for name, array in found.items():
        assert array.dtype == wanted[name].dtype and array.shape == wanted[name].shape
        assert array.tobytes() == wanted[name].tobytes(), name


def ask_server(v2: Client, http: httpx.Client, one: Expected, number: int) -> None:
    """One question in one of four forms; the answer must be the Artifact's."""
    if number % 4 == 0:
        answer = http.post("/predict/net?confidence=0", content=one.content)
        assert answer.status_code == 200, answer.text
        found = [(each["category"], each["confidence"], each.get("box_xyxy")) for each in answer.json()["annotations"]]
        assert found == [describe(each) for each in one.annotations]
    elif number % 4 == 1:
        check_equal(v2.predict_raw("net", {"images": np.array([one.content], object)}), one.raw)
    elif number % 4 == 2:
        check_equal(v2.predict_raw("net", {"images": one.tensor}), one.of_tensor)
    else:
        assert v2.predict("net", one.content, confidence_threshold=0.0) == one.annotations


def describe(annotation: Annotation) -> tuple[str, float | None, list[float] | None]:
    box = annotation.box_xyxy
    return annotation.category, annotation.confidence, None if box is None else list(box)


@pytest.fixture(params=["onnxruntime", "openvino"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["convolutions", "halves"])
def artifact(request: pytest.FixtureRequest, tmp_path: Path, engine: str) -> Path:
    write = write_convolutions if request.param == "convolutions" else write_halves
    return write(tmp_path / "artifact", engine=engine, streams=2, threads=1)


def serve(artifact: Path, repository: Path, configuration: dict[str, Any] | None = None) -> Any:
    deploy_artifact(artifact, "net", repository)
    if configuration is not None:
        (repository / "net" / "config.json").write_text(json.dumps(configuration))
    return run_server(repository)


@pytest.fixture
def net(artifact: Path, tmp_path: Path) -> Iterator[Running]:
    with serve(artifact, tmp_path / "repository") as running:
        yield running


def test_lone_requests_are_answered_to_the_last_bit(net: Running, artifact: Path) -> None:
    with Client(net.url) as v2, net.client() as http:
        for one in ask_artifact(artifact):
            for number in range(4):
                ask_server(v2, http, one, number)


def test_requests_of_32_threads_are_answered_to_the_last_bit(net: Running, artifact: Path) -> None:
    expected = ask_artifact(artifact)
    ask_at_once(net, expected)


def ask_at_once(running: Running, expected: list[Expected]) -> None:
    with Client(running.url) as v2, running.client() as http, ThreadPoolExecutor(THREADS) as pool:

        def ask(thread: int) -> None:
            for turn in range(ROUNDS):
                number = thread * ROUNDS + turn
                ask_server(v2, http, expected[number % len(expected)], number // len(expected) + turn)

        for done in [pool.submit(ask, thread) for thread in range(THREADS)]:
            done.result()


def test_rows_of_a_batch_are_those_of_single_pictures_but_for_rounding(artifact: Path, tmp_path: Path) -> None:
    """Engines may add up in another order for another batch; no answer may mix with its neighbours."""
    expected = ask_artifact(artifact)
    batching = {"dynamic_batching": {"preferred_batch_size": [4], "max_queue_delay_microseconds": 20_000}, "max_batch_size": 4}
    with (
        serve(artifact, tmp_path / "repository", batching) as running,
        Client(running.url) as v2,
        ThreadPoolExecutor(THREADS) as pool,
    ):

        def ask(number: int) -> None:
            one = expected[number % len(expected)]
            found = v2.predict_raw("net", {"images": np.array([one.content], object)})
            for name, array in found.items():
                np.testing.assert_allclose(array, one.raw[name], rtol=1e-5, atol=1e-6)

        list(pool.map(ask, range(THREADS * ROUNDS)))
        statistics = httpx.get(f"{running.url}/v2/models/net/stats", trust_env=False, timeout=60).json()["model_stats"][0]
    assert statistics["execution_count"] < statistics["inference_count"]
