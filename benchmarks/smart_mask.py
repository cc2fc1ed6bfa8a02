"""The editor's smart mask, from the true box alone, and its wand against masks that are known: mean IoU.

    python benchmarks/smart_mask.py
    python benchmarks/smart_mask.py --most 40            # of each category: quicker

Things: the nuts and dates of labelme2coco (polygons by hand), cars, pedestrians and signs of CamVid's val pictures (connected
regions of at least 100 pixels), and the defects of 60 generated inspection pictures. Compared are the box itself, the ellipse
in it, `cut_out` as the server runs it, and the wand: one click on the pixel that is deepest in the thing, with the best of ten
tolerances, as a hand finds it by turning the wheel. People draw less exact boxes. The last line is one JSON object.
"""

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from harness import SHARED_DATA, print_result, run_main
from sightline.core.annotations import BoxXyxy
from sightline.data.samples import generate_samples
from sightline.imaging.cutting import cut_out
from sightline.imaging.files.reading import read_image, read_label_map
from sightline.imaging.masks import decode_mask, draw_polygons, find_mask_box

CAMVID = {8: "car", 9: "pedestrian", 6: "sign"}
LEAST_PIXELS = 100
PICTURES, SEED = 60, 3
TOLERANCES = (4, 8, 12, 16, 24, 32, 40, 48, 64, 80)
Thing = tuple[str, np.ndarray, np.ndarray]  # category, picture, mask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED_DATA, help="folder of all data (default: %(default)s)")
    parser.add_argument("--most", type=int, default=10_000, help="things of each category (default: all)")
    args = parser.parse_args()
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for category, image, mask in list_things(args.data):
        if len(scores[category]["box"]) >= args.most:
            continue
        box = find_mask_box(mask)
        assert box is not None
        for name, guess in GUESSES.items():
            scores[category][name].append(compute_iou(guess(image, mask, box), mask))
    results = {
        category: {"count": len(rows["box"]), **{name: round(float(np.mean(rows[name])), 4) for name in GUESSES}}
        for category, rows in scores.items()
    }
    for category, row in results.items():
        print(category, json.dumps(row))
    print_result("smart_mask", mean_iou=results, seed=SEED)


def list_things(data: Path) -> Iterator[Thing]:
    """Every thing with its picture and its true mask, picture by picture."""
    yield from list_nuts(data / "label-formats/labelme-nuts/images")
    yield from list_regions(data / "segmentation/camvid")
    yield from list_defects()


def list_nuts(folder: Path) -> Iterator[Thing]:
    for path in sorted(folder.glob("*.json")):
        image = read_image(path.with_suffix(".jpg"))
        for shape in json.loads(path.read_text())["shapes"]:
            ring = tuple(value for point in shape["points"] for value in point)
            yield f"nuts: {shape['label']}", image, draw_polygons([ring], *image.shape[:2])


def list_regions(folder: Path) -> Iterator[Thing]:
    for path in sorted((folder / "val").glob("*.png")):
        image, labels = read_image(path), read_label_map(folder / "valannot" / path.name)
        for value, name in CAMVID.items():
            count, regions, facts, _ = cv2.connectedComponentsWithStats((labels == value).astype(np.uint8))
            for number in range(1, count):
                if facts[number, cv2.CC_STAT_AREA] >= LEAST_PIXELS:
                    yield f"camvid: {name}", image, regions == number


def list_defects() -> Iterator[Thing]:
    with tempfile.TemporaryDirectory() as folder:
        version = generate_samples(f"{folder}/samples", PICTURES, SEED, "instance", blobs=f"{folder}/blobs")
        for item in version.items():
            image = version.read_image(item)
            for annotation in item.annotations:
                if annotation.mask is not None:
                    yield f"samples: {annotation.category}", image, decode_mask(annotation.mask)


def draw_box(_: np.ndarray, mask: np.ndarray, box: BoxXyxy) -> np.ndarray:
    x_min, y_min, x_max, y_max = map(int, box)
    drawn = np.zeros_like(mask)
    drawn[y_min:y_max, x_min:x_max] = True
    return drawn


def draw_ellipse(_: np.ndarray, mask: np.ndarray, box: BoxXyxy) -> np.ndarray:
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]] + 0.5
    x_min, y_min, x_max, y_max = box
    across, down = (columns - (x_min + x_max) / 2) / (x_max - x_min), (rows - (y_min + y_max) / 2) / (y_max - y_min)
    return np.asarray(across**2 + down**2 <= 0.25)


def wave_wand(image: np.ndarray, mask: np.ndarray, _: BoxXyxy) -> np.ndarray:
    """What pixels whose channels are near those of the deepest pixel join to it, as web/src/geometry/flood.ts does."""
    depths = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depths.argmax()), depths.shape)
    aim = image[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].reshape(-1, 3).mean(axis=0)
    distances = np.abs(image - aim).max(axis=2)

    def flood(tolerance: int) -> np.ndarray:
        near = distances <= tolerance
        near[y, x] = True
        _, regions = cv2.connectedComponents(near.astype(np.uint8), connectivity=4)
        return np.asarray(regions == regions[y, x])

    return max(map(flood, TOLERANCES), key=lambda region: compute_iou(region, mask))


def compute_iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


GUESSES: dict[str, Callable[[np.ndarray, np.ndarray, BoxXyxy], np.ndarray]] = {
    "box": draw_box,
    "ellipse": draw_ellipse,
    "smart_mask": lambda image, _, box: cut_out(image, box),
    "wand": wave_wand,
}


if __name__ == "__main__":
    run_main(main)
