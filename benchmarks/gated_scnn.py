"""Gated-SCNN against our own small segmenter (`fast`): CamVid from random weights, the same CPU-seconds each.

    python benchmarks/gated_scnn.py                          # 150 CPU-seconds each, judged on val
    python benchmarks/gated_scnn.py --tune --cpu-s 60        # learn from 70, judge on 20 of the train pictures
    python benchmarks/gated_scnn.py --budget 200it           # the same steps each, of which one of Gated-SCNN costs more
    python benchmarks/gated_scnn.py --draw drawn/            # truth and answers of some pictures

Data, augmentation, optimiser, loop and scoring are the same, and so is the input but for its height: each network takes what it
can. Beside mIoU there is boundary F at the four tolerances of the paper, as shares of the diagonal; at 480 x 360 they are 1, 2,
3 and 3 pixels. The last line is one JSON object.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from camvid import RECIPE, hold_out
from harness import ProgressPrinter, make_parser, open_workspace, print_result, run_main
from sightline.core.folders import read_manifest
from sightline.core.manifests import ModelManifest
from sightline.core.workspace import Workspace
from sightline.data.importing import import_dataset
from sightline.data.versions import DatasetVersion
from sightline.imaging.drawing import draw_annotations
from sightline.imaging.masks import annotations_to_label_map
from sightline.metrics.boundary import BoundaryScores
from sightline.metrics.evaluator import make_evaluator
from sightline.runtime.predictor import open_predictor
from sightline.training.launcher import launch_training
from sightline.training.recipe import make_recipe

NETWORKS = ("gated_scnn", "small_segmenter")
TOLERANCES = (0.0005, 0.001875, 0.00375, 0.005)  # Takikawa et al. 2019, §4.2
DRAWN = 6  # pictures
VOID = 255


def main() -> None:
    args = parse_arguments()
    with open_workspace(args.workspace) as workspace, tempfile.TemporaryDirectory() as temporary:
        source = hold_out(args.data, Path(temporary)) if args.tune else args.data
        version, _ = import_dataset(source, workspace, "camvid-tune" if args.tune else "camvid")
        models = {}
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in args.networks}
        for seed in args.seeds:
            for name in args.networks:
                models[name] = train(args, name, seed, version, workspace)
                runs[name].append({"seed": seed, **judge(models[name], version, args.threads)})
                print(name, json.dumps(runs[name][-1]), flush=True)
        if args.draw is not None:
            draw(list(models.values()), version, args.draw)
    means = {
        name: {metric: round(statistics.fmean(run[metric] for run in rows), 4) for metric in ("miou", "boundary_f")}
        for name, rows in runs.items()
    }
    print_result(
        "gated_scnn", budget=find_budget(args), judged_on="train, held out" if args.tune else "val", means=means, runs=runs
    )


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(__doc__, "segmentation/camvid")
    parser.add_argument("--cpu-s", type=float, default=150, help="CPU-seconds for each network (default: %(default)s)")
    parser.add_argument("--budget", help="another budget, such as 200it, instead of --cpu-s")
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[0])
    parser.add_argument("--networks", type=lambda text: text.split(","), default=list(NETWORKS))
    parser.add_argument("--recipe", type=json.loads, default={}, help="recipe fields of both, as a JSON object")
    parser.add_argument("--tune", action="store_true", help="never look at val: hold out some of the train pictures instead")
    parser.add_argument("--draw", type=Path, help="folder for pictures of truth and answers")
    return parser.parse_args()


def find_budget(args: argparse.Namespace) -> str:
    return args.budget or f"{args.cpu_s:g}cpu-s"


def train(args: argparse.Namespace, name: str, seed: int, version: DatasetVersion, workspace: Workspace) -> Path:
    settings = {"validation_split": None, **RECIPE, **args.recipe, "budget": find_budget(args), "seed": seed}
    recipe = make_recipe("semantic", name, **settings)
    out = workspace.root / "models" / f"{name}-{find_budget(args)}-{seed}"
    if not (out / "manifest.json").is_file():
        launch_training(version.folder, recipe, out, on_progress=ProgressPrinter(name), threads=args.threads)
    return out


def judge(model: Path, version: DatasetVersion, threads: int) -> dict[str, Any]:
    """mIoU and boundary F on val, of the latter also by tolerance and category, and what the training spent."""
    manifest = read_manifest(model, ModelManifest)
    names = version.categories
    evaluator = make_evaluator("semantic", names, version.manifest.unlabelled_pixels)
    boundaries = {tolerance: BoundaryScores(len(names), tolerance) for tolerance in TOLERANCES}
    with open_predictor(model, threads=threads) as predictor:
        for item in version.items("val"):
            (found,) = predictor.predict([version.read_image(item)])
            evaluator.add(item.annotations, found, item.width, item.height)
            sides = [annotations_to_label_map(side, names, item.height, item.width, VOID) for side in (item.annotations, found)]
            for scores in boundaries.values():
                scores.add(sides[0], sides[1], unknown=VOID)
    metrics = evaluator.compute()
    once = np.ones((1, evaluator.images), np.int64)
    return {
        "miou": metrics.primary,
        "boundary_f": metrics.values["boundary_f"],
        "boundary_f_at": {f"{at:g}": round(float(np.nanmean(one.resample(once))), 4) for at, one in boundaries.items()},
        "per_category": {
            name: {metric: round(row[metric], 4) for metric in ("iou", "boundary_f") if metric in row}
            for name, row in metrics.per_category.items()
        },
        **{name: manifest.metrics.get(name) for name in ("epochs", "steps", "cpu_s")},
        "parameters": manifest.parameter_count,
        "input": [manifest.input.width, manifest.input.height],
    }


def draw(models: list[Path], version: DatasetVersion, folder: Path) -> None:
    """The picture, its truth, and the answer of each model, side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    items = list(version.items("val"))[:DRAWN]
    images = [version.read_image(item) for item in items]
    rows = [
        [image, draw_annotations(image, item.annotations, version.categories)]
        for image, item in zip(images, items, strict=True)
    ]
    for model in models:
        with open_predictor(model) as predictor:
            for image, row in zip(images, rows, strict=True):
                row.append(draw_annotations(image, predictor.predict([image])[0], version.categories))
    for item, row in zip(items, rows, strict=True):
        cv2.imwrite(str(folder / Path(item.file_name).name), np.hstack(row)[:, :, ::-1])


if __name__ == "__main__":
    run_main(main)
