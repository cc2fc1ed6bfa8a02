"""Videos that join a Dataset under a name that one of its videos has: the same one again, or another, which gets another name.

Cameras call each recording alike. Frames of two videos under one name would be taken for one video: objects would be followed
from one into the other.
"""

from itertools import count
from pathlib import PurePosixPath

import numpy as np

from sightline.data.item_index import NO_PTS, ItemIndex


def rename_videos(base: ItemIndex, added: ItemIndex) -> dict[str, str]:
    """New names for those of the added videos that are other videos than the base's of the same name."""
    renamed: dict[str, str] = {}
    taken = {*base.videos, *added.videos}
    for video in added.videos:
        frames = _read_frames(added, video)
        for number in count(1):
            name = video if number == 1 else _number_name(video, number)
            if name in base.videos and not _is_same(_read_frames(base, name), frames):
                continue
            if name != video and name not in base.videos and name in taken:
                continue  # that of another one that comes, too
            if name != video:
                renamed[video] = name
                taken.add(name)
            break
    return renamed


def _is_same(mine: dict[int, str], theirs: dict[int, str]) -> bool:
    """Whether frames are of one video: at the moments that both have, they show the same; without time stamps nothing tells."""
    if not mine or not theirs:
        return True
    shared = mine.keys() & theirs.keys()
    return bool(shared) and all(mine[pts] == theirs[pts] for pts in shared)


def _read_frames(index: ItemIndex, video: str) -> dict[int, str]:
    """The frames of a video that have a time stamp: from it to the hash of the picture."""
    (positions,) = np.nonzero((index.video_codes == index.videos.index(video)) & (index.pts != NO_PTS))
    return {int(index.pts[position]): index.read_blob(position) for position in positions.tolist()}


def _number_name(video: str, number: int) -> str:
    path = PurePosixPath(video)
    return path.with_name(f"{path.stem}-{number}{path.suffix}").as_posix()
