"""A camera that speaks RTSP: an MPEG transport stream in RTP, interleaved on the TCP connection (RFC 2326, 2250)."""

import socket
import struct
import threading
from types import TracebackType

TS_BYTES = 188
PER_PACKET = 7
SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track\r\n"


class RtspCamera:
    """Serves one viewer after another. `methods`: what was asked. Args: leads: method -> URL that it redirects to."""

    def __init__(self, content: bytes, leads: dict[str, str] | None = None) -> None:
        self.methods: list[str] = []
        self._leads = leads or {}
        self._content = content
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.url = f"rtsp://user:word@127.0.0.1:{self._listener.getsockname()[1]}/live"

    def __enter__(self) -> "RtspCamera":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            with line:
                try:
                    self._talk(line)
                except OSError:
                    continue

    def _talk(self, line: socket.socket) -> None:
        requests = line.makefile("rb")
        while request := requests.readline():
            method = request.split()[0].decode()
            fields = {}
            while (field := requests.readline().strip()) != b"":
                name, _, value = field.decode().partition(":")
                fields[name.lower()] = value.strip()
            self.methods.append(method)
            self._answer(line, method, fields["cseq"])
            if method == "PLAY":
                self._play(line)

    def _answer(self, line: socket.socket, method: str, number: str) -> None:
        head = f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\nSession: 1\r\n"
        body = ""
        if method in self._leads:
            head = f"RTSP/1.0 302 Moved\r\nCSeq: {number}\r\nLocation: {self._leads[method]}\r\n"
        elif method == "OPTIONS":
            head += "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif method == "DESCRIBE":
            body = SDP
            head += f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
        elif method == "SETUP":
            head += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        line.sendall(f"{head}\r\n{body}".encode())

    def _play(self, line: socket.socket) -> None:
        step = TS_BYTES * PER_PACKET
        for number, start in enumerate(range(0, len(self._content), step)):
            # RTP: version 2, payload type 33 (MPEG transport stream), sequence number, time, source.
            packet = struct.pack(">BBHII", 0x80, 33, number & 0xFFFF, 0, 1) + self._content[start : start + step]
            line.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
