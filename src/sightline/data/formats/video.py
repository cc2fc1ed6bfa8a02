"""Videos: a file, or a folder of them, becomes the frames to be labelled, one every second.

Options of the reader:

- `every_s=0.5`: seconds between frames; 1 by default. The k-th frame taken is the first one whose time is at least k times
  that after the first frame's. Times are those of the file (presentation time stamps), so that a variable rate is no matter.
- `frames=all`: every frame.
- `min_change=0.05`: leave out a frame in which no part of the picture differs by more than this share of the whole range of
  brightness from the frame taken before. A part is one of 32 x 32; noise averages out within it.

Frames are stored as PNG, so a label lies on exactly the pixels that were decoded, and an export gives the same bytes again. On
the test videos that takes 3 to 6 times the room of a JPEG of quality 95, which would have changed them once more.

- A frame is named by its video, its number among all frames and its time in the video: `line.mp4/000012_00h00m00s480.png`.
- `source_video` and `frame_pts` of its item say the same exactly: its time stamp is in ticks of the video's clock.
- Rotated videos come upright. All frames of a video stay in one split when splits are drawn.
- Pictures beside videos come too, without labels; a folder right inside that is named like a split is one.
- Of a video that is damaged the frames before the damage are kept. The report says what is missing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, SightlineError, UnreadableDataset
from sightline.data.conversion import ConversionReport, replace_surrogates
from sightline.data.formats.format import ReadOnlyFormat, SourceDataset, SourceItem
from sightline.data.formats.options import check_options
from sightline.data.formats.picture_files import find_split, is_picture, report_no_picture, walk_files
from sightline.data.video.containers import VIDEO_SUFFIXES

LOOKED_AT = 2000
EVERY_S = 1.0
PARTS = 32  # a picture is compared by its mean brightness in so many columns and rows
LATE_S = 1.0  # a last frame may be shown so long, whatever the video says of its length

DAMAGED = "video that cannot be read, or not to its end; the frames before the damage are kept"
SHORT = "video that ends before the time that it states: its end is missing, or its last frame is shown long"
SMEARED = "frame that is damaged in the video, and that the decoder mended as well as it could: look at it"
STILL = "frame that hardly differs from the one before it is left out, as `min_change` asks"


class VideoFormat(ReadOnlyFormat):
    """Videos and pictures without labels."""

    name = "video"
    description = "videos without labels (mp4, mkv, webm, avi, mov ...): a frame every second, or as the options say; read only"
    not_written = "videos are read, not written"

    def detect(self, source: Path) -> float:
        """Sure of a video; of a folder only where its pictures, if any, are not sorted into classes."""
        if source.is_file():
            return 1.0 if is_video(source) else 0.0
        some = (path for _, path in zip(range(LOOKED_AT), walk_files(source), strict=False))
        return 0.3 if any(map(is_video, some)) else 0.0

    def read(self, source: Path, report: ConversionReport, options: dict[str, Any]) -> SourceDataset:
        """Open a video or a folder of them. Options: see the module. Raises: InvalidInput; UnreadableDataset for no video."""
        sampling = read_sampling(options)
        if source.is_dir() and not any(map(is_video, walk_files(source))):
            raise UnreadableDataset(
                f"expected videos ({', '.join(sorted(VIDEO_SUFFIXES))}) in {source}, got none; check the path"
            )
        return SourceDataset(categories=Categories(()), items=iterate_items(source, sampling, report))


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """Which frames are taken. Attributes: every_s: None takes all; min_change: 0 takes frames that are equal, too."""

    every_s: float | None
    min_change: float


def read_sampling(options: dict[str, Any]) -> Sampling:
    """The options, checked. Raises: InvalidInput."""
    check_options(VideoFormat.name, options, ("every_s", "frames", "min_change"))
    if options.get("frames", "all") != "all" or {"frames", "every_s"} <= options.keys():
        raise InvalidInput(f"expected frames=all or every_s=SECONDS for format video, got {options}; give one of the two")
    every_s, min_change = (read_number(options, name, usual) for name, usual in (("every_s", EVERY_S), ("min_change", 0.0)))
    if not every_s > 0 or not 0 <= min_change < 1:
        raise InvalidInput(f"expected every_s above 0 and min_change from 0 to below 1, got {options}; give such numbers")
    return Sampling(every_s=None if "frames" in options else every_s, min_change=min_change)


def read_number(options: dict[str, Any], name: str, usual: float) -> float:
    """An option as a number. Raises: InvalidInput."""
    try:
        return float(options.get(name, usual))
    except (TypeError, ValueError):
        raise InvalidInput(f"expected a number as {name}, got {options[name]!r}; write it like {name}={usual}") from None


def is_video(path: Path) -> bool:
    """Whether a file's name ends like a video's."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def iterate_items(source: Path, sampling: Sampling, report: ConversionReport) -> Iterator[SourceItem]:
    """The frames of every video and the pictures beside them, in the order of their names; a lone file is a video."""
    if source.is_file():
        yield from iterate_frames(source, replace_surrogates(source.name), None, sampling, report)
        return
    for path in walk_files(source):
        name = path.relative_to(source)
        split = find_split(name.parts[0]) if len(name.parts) > 1 else None
        if is_picture(path.name):
            yield SourceItem(file_name=name.as_posix(), path=path, split=split, seen_by="nobody")
        elif is_video(path):
            yield from iterate_frames(path, replace_surrogates(name.as_posix()), split, sampling, report)
        else:
            report_no_picture(report, name.as_posix())


def iterate_frames(
    path: Path, name: str, split: str | None, sampling: Sampling, report: ConversionReport
) -> Iterator[SourceItem]:
    """The frames of one video. Args: name: of the video, unique within the source."""
    from sightline.data.video.frames import read_stated_end_s, read_video_frames  # brings FFmpeg, which a few imports need

    first_s, last_s = None, 0.0
    taken: np.ndarray | None = None  # the parts of the frame taken before
    try:
        for frame in read_video_frames(path, sampling.every_s):
            first_s, last_s = frame.pts_s if first_s is None else first_s, frame.pts_s
            parts = find_parts(frame.image) if sampling.min_change else None
            if parts is not None and taken is not None and float(np.abs(parts - taken).max()) <= sampling.min_change:
                report.warn("frame", STILL, name)
                continue
            taken = parts
            file_name = f"{name}/{frame.index:06d}_{write_time(frame.pts_s - first_s)}.png"
            if frame.is_damaged:
                report.warn("frame", SMEARED, file_name)
            yield SourceItem(
                file_name=file_name,
                content=frame.image,
                split=split,
                source_video=name,
                frame_pts=frame.pts,
                seen_by="nobody",
            )
        stated_s = read_stated_end_s(path)
    except SightlineError as error:
        report.drop("file", DAMAGED, str(error).replace(str(path), name))
        return
    if stated_s is not None and stated_s - last_s > (sampling.every_s or 0) + LATE_S:
        report.warn("file", SHORT, f"{name}: last frame at {last_s:.1f} s of {stated_s:.1f} s")


def find_parts(image: np.ndarray) -> np.ndarray:
    """Mean colours of the parts of a picture, `(32, 32, 3)` float32, 0..1. Args: image: uint8 `(H, W, 3)`."""
    return cv2.resize(image, (PARTS, PARTS), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def write_time(time_s: float) -> str:
    """A time in a video as text that sorts and that a file's name may hold: 3723.48 s is "01h02m03s480"."""
    seconds, thousandths = divmod(round(max(time_s, 0) * 1000), 1000)
    return f"{seconds // 3600:02d}h{seconds // 60 % 60:02d}m{seconds % 60:02d}s{thousandths:03d}"
