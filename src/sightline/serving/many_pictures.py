"""Predict over any number of pictures in bounded memory, in order; one that cannot be read is reported and the rest go on.

Pictures come from files, folders and videos; a local Predictor keeps its streams busy, a remote one several requests.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np

from sightline.core.annotations import Annotation
from sightline.core.errors import AccessDenied, InvalidInput, NotFound, UnreadableVideo
from sightline.data.conversion import replace_surrogates
from sightline.data.video.containers import VIDEO_SUFFIXES
from sightline.data.video.frames import read_video_frames
from sightline.imaging.files.reading import decode_image, read_image
from sightline.runtime.ordered import map_in_order
from sightline.runtime.predictor import Predictor
from sightline.serving.client.calls import encode_picture
from sightline.serving.client.deadline import Recall
from sightline.serving.client.in_order import ask_in_order
from sightline.serving.client.predictor import RemotePredictor

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".pgm", ".ppm"})
READERS = 2
READ_AHEAD = 4
ASKERS = 4


class Source(msgspec.Struct, frozen=True):
    """Something to predict on: a picture file, or a frame of a video with its time.

    Attributes:
        name: path of the file, with U+FFFD for what is no UTF-8; of a frame `path#NUMBER`.
        content: path of a picture file, or a frame `uint8 (H, W, 3)` RGB; None where a video broke off.
        time_s: the moment a frame is shown, as its video says.
        error: why a video broke off.
    """

    name: str
    content: Path | np.ndarray | None
    time_s: float | None = None
    error: str | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What became of one Source: annotations, or the reason why not.

    Attributes:
        image: the upright picture `uint8 (H, W, 3)` RGB, None when it could not be read.
    """

    source: Source
    image: np.ndarray | None
    annotations: list[Annotation]
    error: str | None = None


def find_sources(paths: Iterable[Path], every_s: float | None = None) -> Iterator[Source]:
    """Sources of files, folders (with all below them, sorted per folder) and videos. Lazy: a huge folder costs no memory.

    Args:
        every_s: least time between two frames of a video; None takes every frame.

    Raises: NotFound for a path that is not there.
    """
    for path in paths:
        if path.is_dir():
            yield from _walk(path, every_s)
        elif not path.exists():
            raise NotFound(f"no file or folder {path}")
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            yield from _read_video(path, every_s)
        else:
            yield Source(replace_surrogates(str(path)), path)


def predict_sources(
    subject: Predictor | RemotePredictor, sources: Iterable[Source], confidence_threshold: float | None = None
) -> Iterator[Outcome]:
    """Predict on each source, in order. Pictures that cannot be read become Outcomes with `error`; other errors are raised.

    Raises: AccessDenied when the server no longer lets this client in: no other picture would change that.
    """
    if isinstance(subject, RemotePredictor):
        return _predict_remote(subject, sources, confidence_threshold)
    return _predict_local(subject, sources, confidence_threshold)


def _predict_local(subject: Predictor, sources: Iterable[Source], threshold: float | None) -> Iterator[Outcome]:
    waiting: deque[Outcome] = deque()  # read but not answered yet, in order; failed ones among them

    def read_images(pool: ThreadPoolExecutor) -> Iterator[np.ndarray]:
        for outcome in map_in_order(pool, _read, sources, READ_AHEAD):
            waiting.append(outcome)
            if outcome.image is not None:
                yield outcome.image

    with ThreadPoolExecutor(READERS, thread_name_prefix="read") as pool:
        for annotations in subject.predict_stream(read_images(pool), threshold):
            while waiting[0].image is None:
                yield waiting.popleft()
            read = waiting.popleft()
            yield Outcome(read.source, read.image, annotations)
        yield from waiting


def _predict_remote(subject: RemotePredictor, sources: Iterable[Source], threshold: float | None) -> Iterator[Outcome]:
    def ask(source: Source, recall: Recall) -> Outcome:
        if source.content is None:
            return Outcome(source, None, [], source.error)
        try:
            content = source.content if isinstance(source.content, np.ndarray) else encode_picture(source.content)
        except (InvalidInput, NotFound) as error:  # NotFound of the server is said of every picture
            return _fail(source, error)
        try:
            annotations = subject.ask(content, threshold, recall)
            image = content if isinstance(content, np.ndarray) else decode_image(content, name=str(source.content))
        except AccessDenied:  # of every picture, not of this one
            raise
        except InvalidInput as error:
            return _fail(source, error)
        return Outcome(source, image, annotations)

    return ask_in_order(ask, sources, ASKERS)


def _read(source: Source) -> Outcome:
    if source.content is None:
        return Outcome(source, None, [], source.error)
    try:
        image = source.content if isinstance(source.content, np.ndarray) else read_image(source.content)
    except (InvalidInput, NotFound) as error:
        return _fail(source, error)
    return Outcome(source, image, [])


def _fail(source: Source, error: Exception) -> Outcome:
    return Outcome(source, None, [], replace_surrogates(str(error)))


def _walk(folder: Path, every_s: float | None) -> Iterator[Source]:
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        if path.is_dir():
            if not path.is_symlink():  # a link may lead round in a circle
                yield from _walk(path, every_s)
        elif suffix in PICTURE_SUFFIXES:
            yield Source(replace_surrogates(str(path)), path)
        elif suffix in VIDEO_SUFFIXES:
            yield from _read_video(path, every_s)


def _read_video(path: Path, every_s: float | None) -> Iterator[Source]:
    name = replace_surrogates(str(path))
    try:
        for frame in read_video_frames(path, every_s=every_s):
            yield Source(f"{name}#{frame.index}", frame.image, frame.pts_s)
    except (UnreadableVideo, NotFound) as error:
        yield Source(name, None, error=replace_surrogates(str(error)))
