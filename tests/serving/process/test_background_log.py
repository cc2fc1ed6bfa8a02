import logging
import os
from collections.abc import Iterator

import pytest

from sightline.serving.process import background_log
from sightline.serving.process.background_log import BackgroundHandler


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Ends of a pipe: to read, to write."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def make_record(message: str) -> logging.LogRecord:
    return logging.LogRecord("sightline", logging.INFO, __file__, 1, message, (), None)


def test_lines_are_written_by_another_thread(pipe: tuple[int, int]) -> None:
    handler = BackgroundHandler(pipe[1])
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    handler.handle(make_record("one"))
    handler.handle(make_record("two"))
    handler.close()
    assert os.read(pipe[0], 1000) == b"INFO one\nINFO two\n"


def test_a_pipe_that_nobody_reads_stops_neither_work_nor_end(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_log, "CLOSE_S", 0.01)
    handler = BackgroundHandler(pipe[1], most=5)
    for _ in range(100):
        handler.handle(make_record("x" * 10_000))  # a pipe holds 64 KiB
    handler.close()
    received = b""
    while b"were dropped" not in received:
        received += os.read(pipe[0], 100_000)
    count = int(received.split(b" lines of the log were dropped")[0].rpartition(b"\n")[2])
    assert 80 <= count < 100


def test_a_reader_that_is_gone_ends_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    handler = BackgroundHandler(writing)
    handler.handle(make_record("one"))
    handler.handle(make_record("two"))
    handler.close()
    os.close(writing)
