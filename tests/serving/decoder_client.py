"""What a test does with a real decoder process: start it, ask for frames, hear it to the end."""

import os
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from waiting import DEADLINE_S

from sightline.data.video.containers import CONTAINERS
from sightline.serving.streams.decoder_process import DecoderProcess
from sightline.serving.streams.messages import DecoderSettings, Finished, FrameHead, Message, Opened

Heard = tuple[Message, np.ndarray | None]


@contextmanager
def decode(path: Path | None, **settings: object) -> Iterator[tuple[DecoderProcess, Callable[[], Heard]]]:
    """A running decoder and what it says, message by message."""
    heard: queue.Queue[Heard] = queue.Queue()
    descriptor = -1 if path is None else os.open(path, os.O_RDONLY)
    chosen = DecoderSettings(**{"descriptor": descriptor, "formats": CONTAINERS, "realtime": False, "drop": "none"} | settings)  # type: ignore[arg-type]
    process = DecoderProcess(chosen, lambda message, image: heard.put((message, image)))
    process.start()
    try:
        yield process, lambda: heard.get(timeout=DEADLINE_S)
    finally:
        process.stop()
        process.join()
        if path is not None:
            os.close(descriptor)


def read_all(path: Path | None, **settings: object) -> tuple[list[tuple[FrameHead, np.ndarray]], Finished]:
    """Every frame to the end."""
    frames = []
    with decode(path, **settings) as (process, hear):
        while True:
            message, image = hear()
            if isinstance(message, Opened):
                process.ask(2)
            elif isinstance(message, FrameHead):
                assert image is not None
                frames.append((message, image))
                process.ask()
            elif isinstance(message, Finished):
                return frames, message
