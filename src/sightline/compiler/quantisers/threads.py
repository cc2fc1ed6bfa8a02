"""Quantising packages open ONNX Runtime sessions of their own, with a thread for every core of the machine: bound here.

They take no number of threads, and ONNX Runtime heeds neither a process's affinity nor an environment variable: its threads
settle on the cores themselves. But they ask for `onnxruntime.SessionOptions()`, so what that gives says how many.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sightline.core.settings import read_settings


@contextmanager
def bound_threads() -> Iterator[None]:
    """Sessions whose options are made meanwhile compute with `SIGHTLINE_THREADS` threads, unless told otherwise."""
    import onnxruntime

    usual: Any = onnxruntime.SessionOptions
    threads = read_settings().threads

    class BoundOptions(usual):  # type: ignore[misc] # its base is known only here
        def __init__(self) -> None:
            super().__init__()
            self.intra_op_num_threads = threads

    onnxruntime.SessionOptions = BoundOptions
    try:
        yield
    finally:
        onnxruntime.SessionOptions = usual
