"""A server's life from its listener to its clean end: a signal ends it, whenever that comes."""

import signal
import socket

import uvicorn


def serve_until_signal(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP (which `nohup` has ignored), let running requests end, and return."""
    ends = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        ends.append(signal.SIGHUP)
    # The server heeds them only once its loop runs; one that comes before must not be lost. It raises them again after its
    # clean end, for the handlers that it found.
    previous = {number: signal.signal(number, server.handle_exit) for number in ends}
    try:
        server.run(sockets=[listener])
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
