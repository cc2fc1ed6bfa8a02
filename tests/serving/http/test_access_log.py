import errno
import json
import os
import sys
from io import FileIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from waiting import wait_until

from sightline.core.errors import InvalidInput
from sightline.serving.http import access_log
from sightline.serving.http.access_log import AccessLog, encode_record
from sightline.serving.http.request_record import RECORD, RequestRecord, observe_work
from sightline.serving.inference.calls import ServedFacts
from sightline.serving.scheduling.work import Execution, Work


def make_record(path: str = "/predict/parts", **changes: Any) -> RequestRecord:
    record = RequestRecord({"method": "POST", "path": path, "client": ("127.0.0.1", 5)})
    record.status, record.bytes_in, record.bytes_out, record.duration_s = 200, 100, 20, 0.0125
    for name, value in changes.items():
        setattr(record, name, value)
    return record


def test_a_record_is_one_object() -> None:
    record = make_record(model="parts:2", tenant="line-3", request_id="7", queue_s=0.001, decode_s=0.002, infer_s=0.003)
    assert json.loads(encode_record(record, 0.0625)) == {
        "time": "1970-01-01T00:00:00.062Z",
        "id": "7",
        "remote": "127.0.0.1",
        "tenant": "line-3",
        "method": "POST",
        "path": "/predict/parts",
        "status": 200,
        "bytes_in": 100,
        "bytes_out": 20,
        "duration_ms": 12.5,
        "model": "parts:2",
        "queue_ms": 1.0,
        "decode_ms": 2.0,
        "infer_ms": 3.0,
    }
    assert "model" not in json.loads(encode_record(make_record(), 0.0))


@pytest.mark.parametrize("path", ['/a\n{"status":200}', "/a\r\n", "/\u2028x", '/"},{"', "/\x1b[31m", "/" + "x" * 100_000])
def test_no_path_can_forge_a_line(path: str) -> None:
    line = encode_record(make_record(path), 0.0)
    assert b"\n" not in line and b"\r" not in line and b"\x1b" not in line
    assert len(line) < 2000
    assert json.loads(line)["path"] == path[:500]


def test_lines_are_written_by_another_thread_and_all_of_them_at_the_end(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.log", wall_clock=lambda: 0.0)
    log.write(make_record("/1"))
    wait_until(lambda: (tmp_path / "access.log").read_bytes().count(b"\n") == 1)
    for number in range(2, 1000):
        log.write(make_record(f"/{number}"))
    log.close()
    lines = (tmp_path / "access.log").read_text().splitlines()
    assert [json.loads(line)["path"] for line in lines] == [f"/{number}" for number in range(1, 1000)]


def test_it_appends_and_follows_rotation(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("before\n")
    log = AccessLog(path)
    log.write(make_record("/1"))
    wait_until(lambda: path.read_text().count("\n") == 2)
    path.rename(tmp_path / "access.log.1")
    log.write(make_record("/2"))
    log.close()
    assert (tmp_path / "access.log.1").read_text().startswith("before\n")
    assert [json.loads(line)["path"] for line in path.read_text().splitlines()] == ["/2"]


def test_a_rotation_that_fails_for_a_while_loses_no_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(path)
    log.write(make_record("/1"))
    wait_until(lambda: path.read_text().count("\n") == 1)
    path.rename(tmp_path / "access.log.1")
    path.mkdir()
    log.write(make_record("/2"))
    wait_until(lambda: "cannot be written" in caplog.text)
    path.rmdir()
    log.write(make_record("/3"))
    wait_until(lambda: path.exists() and path.read_text().count("\n") == 2)
    log.close()
    assert [json.loads(line)["path"] for line in path.read_text().splitlines()] == ["/2", "/3"]
    assert caplog.text.count("cannot be written") == 1


def test_what_the_disk_cannot_follow_is_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "MAX_PENDING", 10)
    monkeypatch.setattr(access_log, "FLUSH_EVERY_S", 1000.0)
    log = AccessLog(tmp_path / "access.log")
    for _ in range(25):
        log.write(make_record())
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
    assert len(lines) == 11 and lines[-1]["dropped"] == 15


class SmallDisk(FileIO):
    """Files of a disk with room for `room` bytes; it fills up in the middle of a write."""

    room = 0

    def write(self, content: Any) -> int:
        taken = memoryview(content)[: SmallDisk.room]
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        SmallDisk.room -= len(taken)
        return super().write(taken) or 0


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> type[SmallDisk]:
    """With room for two lines and a half."""
    monkeypatch.setattr(SmallDisk, "room", len(encode_record(make_record("/1"), 0.0)) * 5 // 2)
    monkeypatch.setattr(access_log, "FileIO", SmallDisk)
    monkeypatch.setattr(access_log, "RETRY_EVERY_S", 0.02)
    return SmallDisk


def fill_disk(path: Path, caplog: pytest.LogCaptureFixture) -> AccessLog:
    log = AccessLog(path)
    for number in range(5):
        log.write(make_record(f"/{number}"))
    wait_until(lambda: "No space left" in caplog.text)
    return log


def test_lines_that_a_full_disk_cut_are_whole_once_there_is_room(
    full_disk: type[SmallDisk], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "access.log"
    log = fill_disk(path, caplog)
    log.write(make_record("/5"))
    full_disk.room = 100_000
    log.close()
    assert [json.loads(line)["path"] for line in path.read_text().splitlines()] == [f"/{number}" for number in range(6)]


def test_a_line_that_was_cut_stands_whole_in_the_next_file(
    full_disk: type[SmallDisk], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "access.log"
    log = fill_disk(path, caplog)
    path.rename(tmp_path / "access.log.1")
    full_disk.room = 100_000
    log.close()
    *before, half = (tmp_path / "access.log.1").read_text().splitlines()
    after = path.read_text().splitlines()
    assert [json.loads(line)["path"] for line in before + after] == [f"/{number}" for number in range(5)]
    assert after[0].startswith(half)


def test_a_full_pipe_that_does_not_block_is_asked_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    monkeypatch.setattr(access_log, "RETRY_EVERY_S", 0.02)
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(fileno=lambda: writer))
    log = AccessLog()
    for number in range(2000):  # several times what a pipe holds
        log.write(make_record(f"/{number}"))
    wait_until(lambda: "its reader takes nothing" in caplog.text)
    text = b""
    while text.count(b"\n") < 2000:
        text += os.read(reader, 1 << 20)
    log.close()
    os.close(reader)
    os.close(writer)
    assert [json.loads(line)["path"] for line in text.splitlines()] == [f"/{number}" for number in range(2000)]


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot write the access log"):
        AccessLog(tmp_path / "absent" / "access.log")


def test_standard_error_takes_it_as_well(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    log = AccessLog()
    log.write(make_record())
    log.close()
    assert json.loads(capfdbinary.readouterr().err)["path"] == "/predict/parts"


def make_facts() -> ServedFacts:
    known: dict[str, Any] = {
        "task": "raw", "categories": (), "input": None, "decode": None, "inputs": (), "outputs": (), "max_batch": 8,
        "device": "cpu", "engine": "none", "precision": "fp32", "streams": 1, "threads": 1,
    }  # fmt: skip
    return ServedFacts(name="parts", version=2, **known)


def test_works_add_their_times_to_their_requests_record() -> None:
    work = Work(None, None, lambda _: None)  # type: ignore[arg-type]
    work.enqueued_s, work.started_s, work.input_s, work.infer_s, work.execution = 10.0, 11.0, 0.5, 2.0, Execution(1)
    record = make_record()
    token = RECORD.set(record)
    observe_work(work, make_facts())
    observe_work(work, make_facts())
    observe_work(Work(None, None, lambda _: None), make_facts())  # type: ignore[arg-type]  # refused: it never ran
    RECORD.reset(token)
    assert (record.model, record.queue_s, record.decode_s, record.infer_s) == ("parts:2", 2.0, 1.0, 4.0)
    observe_work(work, make_facts())  # outside of a request there is no record, and no harm
