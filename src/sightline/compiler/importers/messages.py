"""What goes over the pipe to a process that runs a framework: a line of JSON, then arrays as .npy bytes; never pickles."""

import json
from collections.abc import Sequence
from typing import IO, Any

import numpy as np


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
