"""The least that a server can be: one thread that receives a picture, decodes it, infers with all threads and answers.

    python benchmarks/serving/plain_server.py NETWORK

It serves one connection at a time, parses nothing that it does not need, schedules nothing and checks nothing. What it takes
longer than the same work in a loop is what another process and a socket cost on this machine. It prints its port.
"""

import socket
import statistics
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from our_server import NETWORK_SIDE, count_cores

CLASSES = 5
RECEIVE_BYTES = 256 * 1024


class BareLoop:
    """Decode, resize, infer with all threads, in the calling thread."""

    def __init__(self, network: Path) -> None:
        import openvino

        cv2.setNumThreads(1)
        engine = openvino.Core()
        model = engine.read_model(network)
        model.reshape([1, NETWORK_SIDE, NETWORK_SIDE, 3])
        settings = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": count_cores(), "ENABLE_CPU_PINNING": False}
        self._request = engine.compile_model(model, "CPU", settings).create_infer_request()

    def infer(self, picture: bytes) -> np.ndarray:
        """Logits `(1, C)` of an encoded picture."""
        image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
        small = cv2.cvtColor(cv2.resize(image, (NETWORK_SIDE, NETWORK_SIDE)), cv2.COLOR_BGR2RGB)
        logits: np.ndarray = self._request.infer([small[None]])[0]
        return logits

    def measure_p50_ms(self, pictures: list[bytes]) -> float:
        """Median milliseconds of these pictures, one after the other."""
        times_ms = []
        for picture in pictures:
            begun_s = time.perf_counter()
            self.infer(picture)
            times_ms.append((time.perf_counter() - begun_s) * 1e3)
        return statistics.median(times_ms)


class RawClient:
    """One kept connection that sends pictures and waits for the answers; nothing of an HTTP library in between."""

    def __init__(self, port: int, path: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\nContent-Length: ".encode()

    def measure_p50_ms(self, pictures: list[bytes]) -> float:
        """Median milliseconds of these pictures, one after the other. Raises: RuntimeError for any answer but 200."""
        times_ms = []
        for picture in pictures:
            begun_s = time.perf_counter()
            self._socket.sendall(self._head + b"%d\r\n\r\n" % len(picture) + picture)
            head, _ = receive(self._socket)
            times_ms.append((time.perf_counter() - begun_s) * 1e3)
            if not head.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(f"expected 200, got {head[:200]!r}")
        return statistics.median(times_ms)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def receive(connection: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of one message with a Content-Length; two empty ones when the other side has hung up."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(RECEIVE_BYTES)
        if not piece:
            return b"", b""
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    pieces, missing = [body], length - len(body)
    while missing > 0:
        piece = connection.recv(RECEIVE_BYTES)
        if not piece:
            return b"", b""
        pieces.append(piece)
        missing -= len(piece)
    return head, b"".join(pieces)


def serve(network: Path) -> None:
    """Answer until killed."""
    loop = BareLoop(network)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection:
                while (message := receive(connection))[0]:
                    best = np.argsort(-loop.infer(message[1])[0])[:CLASSES]
                    answer = str(best.tolist()).encode()
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
