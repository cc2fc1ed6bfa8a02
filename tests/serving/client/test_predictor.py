from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted_server import serve_script, write_answer
from small_artifacts import write_halves
from whole_server import run_server

from sightline.core.errors import Exhausted, InvalidInput, NotFound
from sightline.imaging.masks import decode_mask
from sightline.runtime.predictor import open_predictor
from sightline.serving.client.predictor import RemotePredictor
from sightline.serving.deployments import deploy_artifact


def test_arrays_paths_and_bytes_get_the_same_answer(server: str, tmp_path: Path) -> None:
    image = np.full((20, 40, 3), 200, np.uint8)
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), image)
    with RemotePredictor(server, "parts") as remote:
        answers = remote.predict([image, path, str(path), path.read_bytes()])
        assert [[one.category for one in answer] for answer in answers] == [["bright"]] * 4
        assert answers[0] == answers[1] == answers[2] == answers[3]
        assert answers[0][0].box_xyxy == (0.0, 0.0, 20.0, 20.0)
        assert remote.predict([]) == []
        with path.open("rb") as file, pytest.raises(InvalidInput, match="or a list of them, got BufferedReader"):
            remote.predict(file)
        assert [remote.predict(one) for one in (image, path, str(path), path.read_bytes())] == answers


def test_it_says_what_measuring_asks_for(server: str) -> None:
    with RemotePredictor(server + "/", "parts") as remote:
        assert remote.input is not None
        assert (remote.task, remote.categories.names) == ("detection", ("dark", "bright"))
        assert (remote.precision, remote.engine, remote.device, remote.model_id) == ("fp32", "onnxruntime", "cpu", "m" * 64)
        assert (remote.input.width, remote.input.height) == (32, 32)
        assert remote.confidence_threshold == 0.25


def test_a_server_need_not_say_its_threshold() -> None:
    facts = b'{"state":"ready","task":"detection","categories":[],"input":null,"device":"cpu","engine":"","precision":"fp32"}'
    with serve_script(lambda _: write_answer(200, facts)) as other, RemotePredictor(other.url, "parts") as remote:
        assert remote.confidence_threshold is None


def test_it_is_shown_in_a_line(server: str) -> None:
    with RemotePredictor(server, "parts") as remote:
        assert repr(remote) == f"RemotePredictor('{server}', 'parts', task='detection', device='cpu')"


def test_a_stream_keeps_its_order(server: str) -> None:
    images = [np.full((8, 8, 3), value, np.uint8) for value in [0, 255, 255, 0, 255, 0, 0]]
    with RemotePredictor(server, "parts") as remote:
        found = [answer[0].category for answer in remote.predict_stream(iter(images))]
    assert found == ["dark", "bright", "bright", "dark", "bright", "dark", "dark"]


def test_masks_arrive_as_they_left(tmp_path: Path) -> None:
    artifact = write_halves(tmp_path / "artifact", "semantic")
    deploy_artifact(artifact, "parts", tmp_path / "repository")
    image = np.full((20, 40, 3), 200, np.uint8)
    with run_server(tmp_path / "repository") as running, RemotePredictor(running.url, "parts") as remote:
        answered = remote.predict([image])
    with open_predictor(artifact) as here:
        assert answered == here.predict([image])
    masks = {one.category: decode_mask(one.mask) for one in answered[0] if one.mask is not None}
    assert masks["bright"][:, :20].all() and masks["dark"][:, 20:].all()
    assert not (masks["bright"] & masks["dark"]).any()


def test_the_confidence_is_passed_on(server: str) -> None:
    with RemotePredictor(server, "parts") as remote:
        assert remote.predict([np.zeros((8, 8, 3), np.uint8)], confidence_threshold=0.9) == [[]]


def test_the_drawn_picture_is_a_png(server: str) -> None:
    with RemotePredictor(server, "parts") as remote:
        assert remote.draw(np.zeros((64, 64, 3), np.uint8)).startswith(b"\x89PNG")


def test_errors_are_those_of_the_server(server: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="'other'"):
        RemotePredictor(server, "other")
    with RemotePredictor(server, "parts") as remote:
        with pytest.raises(InvalidInput):
            remote.predict([b"no picture"])
        with pytest.raises(NotFound, match="no picture"):
            remote.predict([tmp_path / "absent.jpg"])


def test_nobody_at_the_url_is_one_clear_line() -> None:
    with pytest.raises(Exhausted, match="sightline serve"):
        RemotePredictor("http://127.0.0.1:9", "parts")
    with pytest.raises(InvalidInput, match="expected a URL"):
        RemotePredictor("not a url", "parts")


def test_another_program_at_the_url_is_told_from_a_server_of_ours() -> None:
    with serve_script(lambda _: write_answer(200, b"<html>")) as other, pytest.raises(InvalidInput, match="is the URL right"):
        RemotePredictor(other.url, "parts")
