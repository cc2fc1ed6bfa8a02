"""What goes over the pipe to a process that runs a framework: a line of JSON, then arrays as .npy bytes; never pickles.

`answer_requests` is such a process's end of it, `source_process` the importer's.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import IO, Any

import numpy as np

Message = tuple[dict[str, Any], list[np.ndarray]]
Answer = Callable[[dict[str, Any], np.ndarray], Message]  # of a request and its batch


def answer_requests(load: Callable[[], tuple[dict[str, Any], Answer]]) -> None:
    """Load a network, send what `load` says of it, then answer batches until they end; an error is an answer, too."""
    replies = open_replies()
    try:
        greeting, answer = load()
    except Exception as error:  # noqa: BLE001 - a process border: whatever the framework raises is the answer
        send(replies, {"error": _describe(error)})
        return
    send(replies, greeting)
    while head := read_head(sys.stdin.buffer):
        (batch,) = read_arrays(sys.stdin.buffer, 1)
        try:
            said, arrays = answer(head, batch)
        except Exception as error:  # noqa: BLE001 - a process border
            send(replies, {"error": _describe(error)})
        else:
            send(replies, said, arrays)


def open_replies() -> IO[bytes]:
    """This process's standard output as the pipe; what libraries print goes to the standard error from now on."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return replies


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"


class _Stream:
    """A pipe as NumPy must see it: what it knows to be a file it reads and writes by position, which no pipe has."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.read, self.write = pipe.read, pipe.write


def send(pipe: IO[bytes], head: dict[str, Any], arrays: Sequence[np.ndarray] = ()) -> None:
    """Write a message, with the number of its `arrays` in the head. Raises: BrokenPipeError."""
    pipe.write(json.dumps({**head, "arrays": len(arrays)}).encode() + b"\n")
    for array in arrays:
        np.lib.format.write_array(_Stream(pipe), np.ascontiguousarray(array), allow_pickle=False)
    pipe.flush()


def read_head(pipe: IO[bytes]) -> dict[str, Any] | None:
    """The JSON of the next message; None when there is none. Raises: ValueError."""
    line = pipe.readline()
    return json.loads(line) if line else None


def read_arrays(pipe: IO[bytes], count: int) -> list[np.ndarray]:
    """The arrays behind a message's JSON. Raises: ValueError, EOFError."""
    return [np.lib.format.read_array(_Stream(pipe), allow_pickle=False) for _ in range(count)]
