import pytest

from sightline.bench.load.answers import AnswerReader
from sightline.core.errors import InvalidInput

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"4\r\nhell\r\n1;name=value\r\no\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\n"
)
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"


def read_all(content: bytes, step: int) -> AnswerReader:
    """Feed in pieces; the answer must be whole with the last piece and not before."""
    reader = AnswerReader()
    pieces = [content[at : at + step] for at in range(0, len(content), step)]
    assert [reader.feed(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert reader.length == len(content)
    return reader


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("content", [PLAIN, CHUNKED, INTERIM + PLAIN], ids=["length", "chunked", "interim"])
def test_an_answer_is_whole_with_its_last_byte_however_it_is_cut(content: bytes, step: int) -> None:
    reader = read_all(content, step)
    assert (reader.status, reader.closes, reader.sample) == (200, False, b"hello")


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body_need_no_length(status: int) -> None:
    assert read_all(b"HTTP/1.1 %d X\r\nServer: a\r\n\r\n" % status, 1000).status == status


def test_an_empty_body_is_whole_at_once() -> None:
    assert read_all(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n", 1000).status == 503


@pytest.mark.parametrize(
    ("head", "closes"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", True),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", False),
    ],
)
def test_whether_the_connection_goes_on(head: bytes, closes: bool) -> None:
    assert read_all(head + b"Content-Length: 1\r\n\r\nx", 1000).closes == closes


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    reader = AnswerReader()
    assert not reader.feed(b"HTTP/1.1 200 OK\r\n\r\nhello")
    assert not reader.feed(b" again")
    assert reader.end() and reader.closes and reader.sample == b"hello again"


@pytest.mark.parametrize("content", [b"", b"HTTP/1.1 200", PLAIN[:-1], CHUNKED[:-2]])
def test_a_connection_that_ends_too_early_is_told(content: bytes) -> None:
    reader = AnswerReader()
    if content:
        assert not reader.feed(content)
    assert not reader.end()


@pytest.mark.parametrize("content", [PLAIN + b"more", CHUNKED + b"more"])
def test_bytes_nobody_asked_for_end_the_use_of_a_connection(content: bytes) -> None:
    reader = AnswerReader()
    assert reader.feed(content) and reader.closes


@pytest.mark.parametrize(
    "content",
    [
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"HTTP/1.1 abc X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"x" * (70 << 10),
    ],
)
def test_what_is_no_http_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        AnswerReader().feed(content)


def test_of_a_large_body_only_the_beginning_is_kept() -> None:
    reader = AnswerReader(keep_bytes=10)
    assert reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"a" * 100000)
    assert reader.sample == b"a" * 10


def test_a_reader_is_used_again() -> None:
    reader = AnswerReader()
    for content in (PLAIN, CHUNKED, PLAIN):
        reader.start()
        assert reader.feed(content) and reader.status == 200 and reader.sample == b"hello"
