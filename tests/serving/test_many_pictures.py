import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted_server import Asked, serve_script, write_answer
from serving_fakes import CATEGORIES

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import Exhausted, NotFound
from sightline.serving.client.predictor import RemotePredictor
from sightline.serving.many_pictures import Outcome, Source, find_sources, predict_sources
from sightline.serving.saving import KEPT_RESULTS, OutcomeWriter


class FakeStreaming:
    """Says `bright` or `dark` by a picture's mean; runs ahead of its reader by two pictures, as the real one does."""

    def predict_stream(self, images: Iterable[np.ndarray], threshold: float | None = None) -> Iterator[list[Annotation]]:
        waiting: list[list[Annotation]] = []
        for image in images:
            waiting.append([Annotation(category=CATEGORIES[int(image.mean() > 127)], confidence=0.5, origin="model")])
            if len(waiting) > 2:
                yield waiting.pop(0)
        yield from waiting


def write_picture(path: Path, value: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((8, 8, 3), value, np.uint8))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures in a tree, broken ones first, in the middle and last, and a file that is no picture."""
    root = tmp_path / "pictures"
    for name, value in (("b.png", 255), ("c/d.png", 0), ("f.jpg", 255)):
        write_picture(root / name, value)
    for name in ("a.jpg", "e.png", "g.png"):
        (root / name).write_bytes(b"broken")
    (root / "notes.txt").write_text("no picture")
    return root


def describe(outcomes: Iterable[Outcome]) -> list[tuple[str, str | None]]:
    return [(Path(one.source.name).name, one.annotations[0].category if one.annotations else None) for one in outcomes]


EXPECTED = [("a.jpg", None), ("b.png", "bright"), ("d.png", "dark"), ("e.png", None), ("f.jpg", "bright"), ("g.png", None)]


def test_broken_pictures_are_reported_in_their_place_and_the_rest_go_on(folder: Path) -> None:
    outcomes = list(predict_sources(FakeStreaming(), find_sources([folder])))  # type: ignore[arg-type]
    assert describe(outcomes) == EXPECTED
    assert [one.error is None for one in outcomes] == [category is not None for _, category in EXPECTED]


def test_a_server_gives_the_same_outcomes(folder: Path, server: str) -> None:
    with RemotePredictor(server, "parts") as remote:
        assert describe(predict_sources(remote, find_sources([folder]))) == EXPECTED


def test_what_is_no_longer_there_is_reported_and_the_rest_go_on(tmp_path: Path, server: str) -> None:
    write_picture(tmp_path / "b.png", 255)
    for name in ("a.png", "c.jpg", "d.mp4"):
        (tmp_path / name).symlink_to("gone")
    (tmp_path / "e.png").symlink_to("e.png")
    write_picture(tmp_path / "f.png", 0)
    expected = [("a.png", None), ("b.png", "bright"), ("c.jpg", None), ("d.mp4", None), ("e.png", None), ("f.png", "dark")]
    here = list(predict_sources(FakeStreaming(), find_sources([tmp_path])))  # type: ignore[arg-type]
    with RemotePredictor(server, "parts") as remote:
        there = list(predict_sources(remote, find_sources([tmp_path])))
    for outcomes in (here, there):
        assert describe(outcomes) == expected
        assert [one.error is None for one in outcomes] == [category is not None for _, category in expected]


def test_the_pixel_limit_of_the_settings_holds(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_picture(tmp_path / "a.png", 255)  # of 64 pixels
    with RemotePredictor(server, "parts") as remote:
        for limit, category in (("63", None), ("64", "bright")):
            monkeypatch.setenv("SIGHTLINE_MAX_IMAGE_PIXELS", limit)
            for subject in (FakeStreaming(), remote):
                (outcome,) = predict_sources(subject, find_sources([tmp_path]))  # type: ignore[arg-type]
                assert describe([outcome]) == [("a.png", category)]
                assert ("SIGHTLINE_MAX_IMAGE_PIXELS" in (outcome.error or "")) == (category is None)


def test_leaving_does_not_wait_for_a_server_that_hangs(folder: Path) -> None:
    gate = threading.Event()
    went_on: list[bool] = []
    facts = b'{"state":"ready","task":"detection","categories":["a"],"input":null,"device":"","engine":"","precision":"fp32"}'

    def hold(asked: Asked) -> bytes:
        if asked.method == "POST":
            went_on.append(gate.wait(20))
        return write_answer(200, facts)

    def interrupt() -> Iterator[Source]:
        """Two pictures, then Ctrl-C."""
        for number in range(2):
            yield Source(str(number), np.zeros((8, 8, 3), np.uint8))
        while len(other.asked) < 3:
            threading.Event().wait(0.001)
        raise KeyboardInterrupt

    with serve_script(hold) as other, RemotePredictor(other.url, "parts") as remote:
        with pytest.raises(KeyboardInterrupt):
            list(predict_sources(remote, interrupt()))
        gate.set()
    assert went_on == [True] * 2  # it was left before the server went on


def test_a_model_that_has_gone_ends_it(folder: Path, server: str) -> None:
    with RemotePredictor(server, "parts") as remote:
        remote.name = "gone"
        with pytest.raises(NotFound):
            list(predict_sources(remote, find_sources([folder])))


def test_only_broken_pictures_are_all_reported(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"broken")
    assert describe(predict_sources(FakeStreaming(), find_sources([tmp_path]))) == [("a.png", None)]  # type: ignore[arg-type]


def test_no_pictures_give_no_outcomes(tmp_path: Path) -> None:
    assert list(predict_sources(FakeStreaming(), find_sources([tmp_path]))) == []  # type: ignore[arg-type]


def test_sources_are_read_as_they_are_needed(tmp_path: Path) -> None:
    path, taken = write_picture(tmp_path / "a.png", 0), 0

    def endless() -> Iterator[Source]:
        nonlocal taken
        while True:
            taken += 1
            yield Source("a", path)

    outcomes = predict_sources(FakeStreaming(), endless())  # type: ignore[arg-type]
    assert next(outcomes).annotations
    assert taken < 20


def test_names_that_are_no_utf8_can_be_written(tmp_path: Path) -> None:
    content = write_picture(tmp_path / "a.png", 255).read_bytes()
    for name, held in ((b"1\xe9.png", content), (b"2\xe9.jpg", b"broken"), (b"3\xe9.mp4", b"no video")):
        (tmp_path / os.fsdecode(name)).write_bytes(held)
    outcomes = list(predict_sources(FakeStreaming(), find_sources([tmp_path])))  # type: ignore[arg-type]
    mark = "\N{REPLACEMENT CHARACTER}"
    expected = [(f"1{mark}.png", "bright"), (f"2{mark}.jpg", None), (f"3{mark}.mp4", None), ("a.png", "bright")]
    assert describe(outcomes) == expected
    assert [one.error is None for one in outcomes] == [True, False, False, True]
    assert "".join(one.error or "" for one in outcomes).encode()


def test_a_path_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        list(find_sources([tmp_path / "absent"]))


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", 0)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert len(list(find_sources([tmp_path]))) == 1


def test_frames_of_a_video_come_in_order_with_their_times(shared_data: Path) -> None:
    video = next((shared_data / "video").rglob("video_1.avi"))
    sources = list(find_sources([video]))
    assert [source.name.rpartition("#")[2] for source in sources] == [str(n) for n in range(len(sources))]
    times = [source.time_s or 0.0 for source in sources]
    assert len(times) > 2 and times == sorted(times)


def test_a_file_that_is_no_video_is_one_failed_outcome(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    (outcome,) = predict_sources(FakeStreaming(), find_sources([tmp_path]))  # type: ignore[arg-type]
    assert outcome.error and outcome.image is None


def test_everything_is_written_and_the_summary_stays_small(tmp_path: Path) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    found = [Annotation(category="dark", confidence=0.5, origin="model")]
    writer = OutcomeWriter(Categories(CATEGORIES), tmp_path / "drawn", tmp_path / "out" / "all.jsonl")
    with writer:
        for number in range(KEPT_RESULTS + 5):
            writer.write(Outcome(Source(f"x/{number % 2}.png", Path("x")), image, found))
        writer.write(Outcome(Source("bad.png", Path("x")), None, [], "broken"))
    lines = [json.loads(line) for line in (tmp_path / "out" / "all.jsonl").read_text().splitlines()]
    assert len(lines) == KEPT_RESULTS + 6
    assert lines[-1] == {"name": "bad.png", "error": "broken"}
    assert len(list((tmp_path / "drawn").iterdir())) == KEPT_RESULTS + 5  # equal names do not overwrite each other
    summary = writer.summary
    assert (summary["answered"], summary["failed"], summary["pictures_left_out"]) == (KEPT_RESULTS + 5, 1, 6)


def test_the_longest_name_there_may_be_is_drawn(tmp_path: Path) -> None:
    image, name = np.zeros((8, 8, 3), np.uint8), "ä" * 125 + "n.png"  # 255 bytes
    with OutcomeWriter(Categories(CATEGORIES), tmp_path / "drawn") as writer:
        writer.write(Outcome(Source(name, tmp_path / name), image, []))
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == [f"000001-{'ä' * 100}.jpg"]


def test_a_full_disk_is_named_and_leaves_no_half_picture(tmp_path: Path, fill_disk: Callable[[], None]) -> None:
    outcome = Outcome(Source("a.png", Path("a.png")), np.zeros((8, 8, 3), np.uint8), [])
    to_full = OutcomeWriter(Categories(CATEGORIES), None, Path("/dev/full"))
    with pytest.raises(Exhausted, match="writing /dev/full"), to_full:
        to_full.write(outcome)
    fill_disk()
    with (
        pytest.raises(Exhausted, match=r"writing .*drawn"),
        OutcomeWriter(Categories(CATEGORIES), tmp_path / "drawn") as writer,
    ):
        writer.write(outcome)
    assert not list((tmp_path / "drawn").iterdir())
