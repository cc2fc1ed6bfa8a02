"""Import and export a large synthetic dataset, each step in a process of its own, and state the peak memory of each.

Writes COUNT small PNGs of unique content and a COCO JSON with three boxes each, then: COCO -> version, version -> COCO,
version -> our zip, zip -> version. Does the same with a tenth of COUNT first: what does not grow between the two is bounded.
The last line of the output is one JSON object.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT, BOXES = 24, 16, 3
NAMES = ("bolt", "nut", "washer")


def write_source(folder: Path, count: int) -> None:
    """A COCO dataset of `count` pictures, written as a stream."""
    (folder / "annotations").mkdir(parents=True)
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    images, annotations = (folder / f"{part}.part" for part in ("images", "annotations"))
    with images.open("w") as image_file, annotations.open("w") as annotation_file:
        for number in range(count):
            pixels = rng.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
            pixels[0, :4] = np.frombuffer(number.to_bytes(4, "little"), np.uint8)  # makes each unique for sure
            name = f"{number % 100:02d}/{number:07d}.png"
            path = folder / "images" / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
            comma = ",\n" if number else ""
            image_file.write(comma + json.dumps({"id": number + 1, "file_name": name, "width": WIDTH, "height": HEIGHT}))
            for box in range(BOXES):
                x, y = (float(value) for value in rng.uniform(0, 8, 2).round(2))
                record = {
                    "id": number * BOXES + box + 1,
                    "image_id": number + 1,
                    "category_id": int(rng.integers(1, 4)),
                    "bbox": [x, y, 9.5, 7.25],
                    "area": 68.875,
                    "iscrowd": 0,
                }
                annotation_file.write((comma if box == 0 else ",\n") + json.dumps(record))
    with (folder / "annotations" / "instances_train.json").open("w") as file:
        for key, part in (("images", images), ("annotations", annotations)):
            file.write(("{" if key == "images" else ",\n") + f'"{key}": [')
            with part.open() as lines:
                file.writelines(lines)
            file.write("]")
        categories = [{"id": index, "name": name} for index, name in enumerate(NAMES, start=1)]
        file.write(f', "categories": {json.dumps(categories)}}}')
    images.unlink()
    annotations.unlink()


def run_step(step: str, folder: Path) -> None:
    """One step, in this process; prints what it did and what it took."""
    from sightline.core.workspace import Workspace
    from sightline.data.exporting import export_version
    from sightline.data.importing import import_dataset
    from sightline.data.versions import open_version

    before = peak_mb()
    start = time.perf_counter()
    result: dict[str, object] = {}
    if step in ("import_coco", "import_zip"):
        source = folder / ("source" if step == "import_coco" else "export.zip")
        version, report = import_dataset(source, Workspace(folder / step), "scale")
        result = {"id": version.id, "items": version.count(), "clean": report.is_clean}
    else:
        version = open_version(Workspace(folder / "import_coco").find("datasets", "scale"))
        target = folder / ("export_coco" if step == "export_coco" else "export.zip")
        report = export_version(version, target, "coco" if step == "export_coco" else "sightline")
        result = {"id": version.id, "items": report.kept.get("image", 0), "clean": report.is_clean}
    result |= {"seconds": round(time.perf_counter() - start, 1), "base_rss_mb": before, "peak_rss_mb": peak_mb()}
    print(json.dumps(result))


def peak_mb() -> float:
    """Largest resident size of this process so far, MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def measure(count: int, parent: Path) -> dict[str, dict[str, object]]:
    """All steps with `count` items."""
    results: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory(dir=parent, prefix="sightline-scale-") as name:
        folder = Path(name)
        start = time.perf_counter()
        write_source(folder / "source", count)
        print(f"{count:,} items written in {time.perf_counter() - start:.0f} s", flush=True)
        for step in ("import_coco", "export_coco", "export_zip", "import_zip"):
            command = [sys.executable, __file__, "--step", step, "--folder", str(folder)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results[step] = json.loads(output.splitlines()[-1])
            print(f"  {step:12} {results[step]}", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=200_000, metavar="COUNT")
    parser.add_argument("--folder", type=Path, default=None, help="where to work; a temporary folder by default")
    parser.add_argument("--step", default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        run_step(arguments.step, arguments.folder)
        return
    parent = arguments.folder or Path(tempfile.gettempdir())
    small, large = measure(arguments.items // 10, parent), measure(arguments.items, parent)
    summary = {
        "benchmark": "data_scale",
        "items": arguments.items,
        "annotations": arguments.items * BOXES,
        "same_id_after_zip": large["import_zip"]["id"] == large["import_coco"]["id"],
        "all_clean": all(step["clean"] for step in large.values()),
        "tenth": small,
        "full": large,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
