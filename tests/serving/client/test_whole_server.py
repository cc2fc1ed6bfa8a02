"""Both clients against the whole inference server with a real graph: what they ask is what it answers."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from serving_fakes import write_brightness_artifact

from sightline.core.errors import InvalidInput, NotFound
from sightline.core.settings import Settings
from sightline.imaging.files.reading import encode_image
from sightline.runtime.predictor import open_predictor
from sightline.serving.client.asynchronous import AsyncClient
from sightline.serving.client.blocking import Client
from sightline.serving.client.predictor import RemotePredictor
from sightline.serving.deployments import deploy_artifact
from sightline.serving.http.keys import create_key
from sightline.serving.process.listening import format_url, make_server, open_listener
from sightline.serving.server import InferenceServer
from sightline.serving.server_options import ServerOptions

BRIGHT, DARK = (np.full((8, 8, 3), value, np.uint8) for value in (200, 10))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_brightness_artifact(tmp_path_factory.mktemp("artifact") / "brightness")


@contextmanager
def serve_whole(repository: Path, options: ServerOptions) -> Iterator[str]:
    whole = InferenceServer(repository, Settings(threads=2), options)
    listener = open_listener("127.0.0.1", 0)
    is_up = threading.Event()
    server = make_server(whole.app, whole.edge, is_up.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert is_up.wait(30)
        yield format_url(listener)
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def url(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server in mode "explicit" that began with every model."""
    repository = tmp_path_factory.mktemp("repository")
    deploy_artifact(artifact, "parts", repository)
    with serve_whole(repository, ServerOptions(mode="explicit", load_at_start=("*",))) as running:
        yield running


def test_annotations_are_those_of_the_artifact_opened_here(url: str, artifact: Path) -> None:
    pictures = [BRIGHT, DARK] * 6
    predictor = open_predictor(artifact)
    expected = [predictor.predict([picture])[0] for picture in pictures]
    predictor.close()
    with Client(url) as client, RemotePredictor(url, "parts") as remote:
        assert client.predict("parts", pictures) == remote.predict(pictures) == expected
        assert client.predict("parts", BRIGHT, confidence_threshold=0.5) == expected[0][:1]
        assert (remote.task, remote.categories.names, remote.precision) == ("classification", ("dark", "bright"), "fp32")

    async def main() -> object:
        async with AsyncClient(url) as client:
            return await client.predict("parts", pictures)

    assert asyncio.run(main()) == expected


def test_a_version_of_a_model_is_asked(url: str) -> None:
    with Client(url) as client:
        assert client.predict("parts", BRIGHT, version=1) == client.predict("parts", BRIGHT)
        with pytest.raises(NotFound, match="2"):
            client.predict("parts", BRIGHT, version=2)


def test_tensors_and_pictures_go_through_v2(url: str) -> None:
    with Client(url) as client:
        metadata = client.metadata("parts")
        assert (metadata.versions, metadata.inputs[0].shape) == (("1",), (-1, 3, 8, 8))
        # The logit of `bright` is 20 times the mean pixel 0..1 less 10, that of `dark` 0.
        tensor = np.stack([np.ones((3, 8, 8), np.float32), np.full((3, 8, 8), 0.25, np.float32)])
        answer = client.predict_raw("parts", {"images": tensor}, version="1", outputs=["logits"])
        np.testing.assert_allclose(answer["logits"], [[0, 10], [0, -5]], atol=1e-4)
        encoded = np.array([encode_image(BRIGHT, "png"), encode_image(DARK, "png")], object)
        answer = client.predict_raw("parts", {"images": encoded}, outputs=["logits"])
        np.testing.assert_allclose(answer["logits"][:, 1], [20 * 200 / 255 - 10, 20 * 10 / 255 - 10], atol=1e-4)


def test_models_are_unloaded_and_loaded(url: str) -> None:
    with Client(url) as client:
        assert client.ready() and client.ready("parts") and not client.ready("absent")
        assert [(state.name, state.version, state.state) for state in client.models()] == [("parts", "1", "READY")]
        client.unload("parts")
        assert not client.ready("parts")
        with pytest.raises(NotFound, match="parts"):
            client.predict("parts", BRIGHT)
        client.load("parts")
        assert client.ready("parts") and len(client.predict("parts", BRIGHT)) == 2


def test_refusals_are_one_line_of_the_server_s(url: str) -> None:
    with Client(url) as client:
        for ask, head in (
            (lambda: client.metadata("absent"), NotFound),
            (lambda: client.load("absent"), NotFound),
            (lambda: client.predict("parts", b"no picture"), InvalidInput),
            (lambda: client.predict_raw("parts", {"images": np.ones((1, 2), np.float32)}), InvalidInput),
            (lambda: client.predict_raw("parts", {"other": np.ones((1, 3, 8, 8), np.float32)}), InvalidInput),
        ):
            with pytest.raises(head) as refused:
                ask()
            assert len(str(refused.value).splitlines()) == 1
    with pytest.raises(NotFound, match="absent"):
        RemotePredictor(url, "absent")


def test_a_server_with_keys_lets_in_who_has_one(artifact: Path, tmp_path: Path) -> None:
    deploy_artifact(artifact, "parts", tmp_path)
    key, record = create_key("line-3")
    with serve_whole(tmp_path, ServerOptions(key_line=f"line-3={record.hash}")) as url:
        with Client(url, key) as client, RemotePredictor(url, "parts", api_key=key) as remote:
            assert client.predict("parts", BRIGHT) == remote.predict([BRIGHT])[0]
            with pytest.raises(InvalidInput, match="admin"):
                client.load("parts")
        for other in (None, "sk.line-3.wrong"):
            with Client(url, other) as client, pytest.raises(InvalidInput, match="`api_key`"):
                client.predict("parts", BRIGHT)
