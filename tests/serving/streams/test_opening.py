"""What is said of an address that does not open: FFmpeg's log holds the words of hosts and cameras beside its own."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from decoder_client import read_all

from sightline.serving.streams.sources import URL_FORMATS, URL_PROTOCOLS


def open_address(url: str) -> str:
    frames, last = read_all(None, url=url, formats=URL_FORMATS, protocols=URL_PROTOCOLS[url.partition(":")[0]])
    assert not frames
    return last.error


@contextmanager
def answer_with(content: bytes) -> Iterator[int]:
    """The port of a camera that answers every visitor with this."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                line, _ = listener.accept()
                with suppress(OSError), line:
                    line.recv(4096)
                    line.sendall(content)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("scheme", ["http", "https", "rtsp", "rtsps"])
@pytest.mark.parametrize("word", ["certificate", "redirect"])
def test_words_of_a_host_name_are_no_fault(scheme: str, word: str) -> None:
    assert open_address(f"{scheme}://{word}-camera.invalid/") == "the address does not open as a video: Input/output error"


@pytest.mark.parametrize(
    ("scheme", "head", "fault"),
    [
        ("http", "HTTP/1.1 503 certificate store redirecting", "Server returned 5XX Server Error reply"),
        ("rtsp", "RTSP/1.0 404 Status 302: Redirecting to a certificate", "Server returned 404 Not Found"),
    ],
)
def test_words_of_a_camera_are_no_fault(scheme: str, head: str, fault: str) -> None:
    with answer_with(f"{head}\r\nCSeq: 1\r\nContent-Length: 0\r\n\r\n".encode()) as port:
        assert open_address(f"{scheme}://127.0.0.1:{port}/") == f"the address does not open as a video: {fault}"


def test_a_redirect_over_http_is_thought_of() -> None:
    with answer_with(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n") as port:
        said = open_address(f"http://127.0.0.1:{port}/")
    assert said.endswith("Input/output error; if it leads to another address, which is not followed, give that address")
