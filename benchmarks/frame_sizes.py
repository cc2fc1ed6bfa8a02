"""What a frame of a video takes as PNG, which imports store, as JPEG of quality 95 and as WebP without loss: bytes a frame.

    python benchmarks/frame_sizes.py

One frame a second of each video of the shared data. The last line is one JSON object.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from harness import SHARED_DATA, print_result, run_main
from sightline.data.video.containers import VIDEO_SUFFIXES
from sightline.data.video.frames import read_video_frames
from sightline.imaging.files.reading import encode_image

LOSSLESS = 101  # a quality of WebP above 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED_DATA / "video", help="folder of videos (default: %(default)s)")
    data = parser.parse_args().data
    videos = sorted(path for path in data.rglob("*") if path.is_file() and path.suffix in VIDEO_SUFFIXES)
    sizes = {path.relative_to(data).as_posix(): measure(path) for path in videos}
    print_result("frame_sizes", every_s=1.0, bytes_per_frame=sizes)


def measure(path: Path) -> dict[str, object]:
    """The mean sizes of a video's frames."""
    images = [frame.image for frame in read_video_frames(path, every_s=1.0)]
    height, width = images[0].shape[:2]
    sizes = {
        "png": [len(encode_image(image, "png")) for image in images],
        "jpeg": [len(encode_image(image, "jpeg", quality=95)) for image in images],
        "webp_lossless": [len(encode_webp(image)) for image in images],
    }
    return {"width": width, "height": height, "frames": len(images)} | {
        name: round(np.mean(all)) for name, all in sizes.items()
    }


def encode_webp(image: np.ndarray) -> np.ndarray:
    """Args: image: uint8 `(H, W, 3)` RGB."""
    return cv2.imencode(".webp", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, LOSSLESS])[1]


if __name__ == "__main__":
    run_main(main)
