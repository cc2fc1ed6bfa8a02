"""Instance segmentation from random weights in a budget of CPU-seconds: `fast`, in FP32 and INT8, and torchvision's Mask R-CNN.

    python benchmarks/instances.py                             # generated parts, 200 CPU-seconds, seeds 0, 1, 2
    python benchmarks/instances.py --pictures neurites         # electron microscopy, cells between membranes
    python benchmarks/instances.py --peer --seeds 0            # Mask R-CNN as well

`parts` is what `sightline sample` generates: 600 pictures whose masks are exact. `neurites` are the 30 pictures of
../shared/data/segmentation/em-membrane, cut into quarters; an instance is a connected region between the labelled membranes of
at least 50 pixels. Pictures 0 to 21 by number are learned, the others judged: quarters of one picture stay together.

Reported of each network: mAP of its masks, mAP of their bounds as boxes, and mAP that its boxes would have if each were the
mask. INT8 is compiled under the gate of `sightline compile`, which judges on val. `--detector` trains `csp_detector` with the
same boxes, to say what the masks cost it. Mask R-CNN (ResNet-50 with a feature pyramid, norms that learn) sees the same
samples in the same budget, in a loop of this script's own with the recipe's optimiser and schedule. The last line is one JSON
object.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import torch

from harness import ProgressPrinter, make_parser, open_workspace, print_result, run_main
from sightline.compiler.compile import compile_model
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.folders import read_manifest
from sightline.core.manifests import InputSpec, ModelManifest
from sightline.core.workspace import Workspace
from sightline.data.blobs import BlobStore
from sightline.data.items import Item
from sightline.data.samples import generate_samples
from sightline.data.versions import DatasetVersion, VersionWriter, open_version
from sightline.imaging.files.reading import encode_image
from sightline.imaging.masks import draw_polygons, encode_mask, find_mask_box
from sightline.metrics.evaluator import EVALUATION_THRESHOLDS, make_evaluator
from sightline.models.network import IMAGENET_MEAN, IMAGENET_STD, normalise_images
from sightline.runtime.predictor import open_predictor
from sightline.training.launcher import launch_training
from sightline.training.optimisers import build_optimiser, set_learning_rate
from sightline.training.pictures import Pictures
from sightline.training.recipe import Recipe, make_recipe
from sightline.training.schedules import learning_rate_factor
from sightline.training.sizing import choose_input_size
from sightline.training.tasks.instance import InstanceTask
from sightline.training.tasks.task import TaskContext

PARTS = 600
LEARNED_PICTURES = 22  # of the 30 of electron microscopy; the last 4 of these are val
LEAST_PIXELS = 50
QUARTER = 256  # pixels
# Cells have no up or down. Of parts all settings are the product's defaults.
RECIPES: dict[str, dict[str, Any]] = {
    "parts": {},
    "neurites": {"augmentation": {"flip_y": 0.5, "quarter_turns": True}, "width": QUARTER, "height": QUARTER},
}
PEER_BATCH = 2  # of Mask R-CNN: with the recipe's 8 pictures a step it would make a fourth of the steps

Predict = Callable[[np.ndarray], list[Annotation]]
Scores = dict[str, float]


def main() -> None:
    args = parse_arguments()
    with open_workspace(args.workspace) as workspace:
        version = make_version(args, workspace)
        print(f"{version}: {version.splits}")
        runs = [run_seed(args, seed, version, workspace) for seed in args.seeds]
        names = ("mask_map", "mask_map50", "box_map", "box_map50", "boxes_as_masks_map")
        means = {
            side: {name: round(statistics.fmean(run[side][name] for run in runs), 4) for name in names}
            for side in ("fp32", "int8")
        }
        print("mean of seeds:", json.dumps(means))
        print_result("instances", pictures=args.pictures, cpu_budget_s=args.cpu_s, means=means, runs=runs)


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(__doc__, "segmentation/em-membrane")
    parser.add_argument("--pictures", choices=list(RECIPES), default="parts")
    parser.add_argument("--cpu-s", type=float, default=200, help="CPU-seconds of each training (default: %(default)s)")
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--recipe", type=json.loads, default={}, help="further recipe fields to change, as a JSON object")
    parser.add_argument("--detector", action="store_true", help="also train csp_detector in the same budget")
    parser.add_argument("--peer", action="store_true", help="also train torchvision's Mask R-CNN in the same budget")
    parser.set_defaults(threads=1)  # CPU-seconds are what counts, and a second thread spends some of them on waiting
    return parser.parse_args()


# ---- pictures --------------------------------------------------------------------------------------------------------
def make_version(args: argparse.Namespace, workspace: Workspace) -> DatasetVersion:
    """The pictures; those of a kept workspace are used again."""
    folder = workspace.root / "pictures" / args.pictures
    if (folder / "manifest.json").is_file():
        return open_version(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    blobs = BlobStore(workspace.root / "blobs")
    if args.pictures == "parts":
        return generate_samples(folder, PARTS, 0, "instance", name="parts", blobs=blobs)
    with VersionWriter(folder, "neurites", Categories(["neurite"]), blobs) as writer:
        for item in cut_neurites(args.data / "train", blobs):
            writer.add(item)
        return writer.close()


def cut_neurites(root: Path, blobs: BlobStore) -> Iterable[Item]:
    """Quarters of the pictures, with the regions between membranes as instances."""
    for number, path in enumerate(sorted((root / "image").glob("*.png"), key=lambda path: int(path.stem))):
        image, labels = (np.asarray(cv2.imread(str(root / kind / path.name), 0)) for kind in ("image", "label"))
        split = "test" if number >= LEARNED_PICTURES else "val" if number >= LEARNED_PICTURES - 4 else "train"
        for top in range(0, image.shape[0], QUARTER):
            for left in range(0, image.shape[1], QUARTER):
                part = np.s_[top : top + QUARTER, left : left + QUARTER]
                picture = np.repeat(image[part][:, :, None], 3, axis=2)
                yield Item(
                    blob=blobs.put_bytes(encode_image(picture, "png")),
                    file_name=f"{path.stem}-{top}-{left}.png",
                    width=picture.shape[1],
                    height=picture.shape[0],
                    split=split,
                    annotations=tuple(find_regions(labels[part])),
                )


def find_regions(labels: np.ndarray) -> Iterable[Annotation]:
    """Connected regions of a label picture that membranes (0) part."""
    count, places = cv2.connectedComponents((labels > 127).astype(np.uint8), connectivity=4)
    for number in range(1, count):
        mask = places == number
        if np.count_nonzero(mask) >= LEAST_PIXELS:
            yield Annotation(category="neurite", box_xyxy=find_mask_box(mask), mask=encode_mask(mask))


# ---- ours ------------------------------------------------------------------------------------------------------------
def run_seed(args: argparse.Namespace, seed: int, version: DatasetVersion, workspace: Workspace) -> dict[str, Any]:
    """Train, compile and judge with one seed."""
    model = train(args, seed, version, workspace, "instance")
    run: dict[str, Any] = {"seed": seed, "fp32": judge_folder(model, version), "spent": read_spent(model)}
    artifact = workspace.root / "artifacts" / f"{args.pictures}-{args.cpu_s:g}-{seed}"
    if not artifact.exists():
        compile_model(model, artifact, version, precision="int8", on_progress=ProgressPrinter(f"seed {seed}, int8"))
    compared = json.loads((artifact / "report.json").read_bytes())["comparison"]
    run["int8"] = judge_folder(artifact, version)
    run["gate"] = {name: compared[name] for name in ("metric", "images", "baseline", "candidate", "change", "low", "high")}
    if args.detector:
        detector = train(args, seed, version, workspace, "detection")
        run["detector"] = judge_folder(detector, version) | {"spent": read_spent(detector)}
    if args.peer:
        run["peer"] = run_peer(args, seed, version)
    print(json.dumps(run), flush=True)
    return run


def train(args: argparse.Namespace, seed: int, version: DatasetVersion, workspace: Workspace, task: str) -> Path:
    """Train one seed; an existing Model of a kept workspace is used again."""
    out = workspace.root / "models" / f"{args.pictures}-{task}-{args.cpu_s:g}" / f"seed-{seed}"
    if not (out / "manifest.json").is_file():
        recipe = make_one_recipe(args, seed, task)
        launch_training(version.folder, recipe, out, on_progress=ProgressPrinter(f"seed {seed}"), threads=args.threads)
    return out


def make_one_recipe(args: argparse.Namespace, seed: int, task: str) -> Recipe:
    settings = {"budget": f"{args.cpu_s:g}cpu-s", "seed": seed, "validation_split": None}
    return make_recipe(task, "fast", **(settings | RECIPES[args.pictures] | args.recipe))  # type: ignore[arg-type]


def read_spent(model: Path) -> dict[str, Any]:
    manifest = read_manifest(model, ModelManifest)
    spent = {name: manifest.metrics.get(name) for name in ("epochs", "steps", "cpu_s")}
    return spent | {"parameters": manifest.parameter_count}


def judge_folder(folder: Path, version: DatasetVersion) -> Scores:
    """Scores of a Model or Artifact on test."""
    with open_predictor(folder, threads=1) as predictor:
        return judge(version, lambda image: predictor.predict([image], EVALUATION_THRESHOLDS["instance"])[0])


def judge(version: DatasetVersion, predict: Predict) -> Scores:
    """mAP of masks, of their bounds, and of boxes as masks, on test."""
    evaluators = {
        "mask": make_evaluator("instance", version.categories),
        "box": make_evaluator("detection", version.categories),
        "boxes_as_masks": make_evaluator("instance", version.categories),
    }
    for item in version.items("test"):
        found = predict(version.read_image(item))
        for name, evaluator in evaluators.items():
            said = [msgspec.structs.replace(one, mask=None) for one in found] if name == "boxes_as_masks" else found
            evaluator.add(item.annotations, said, item.width, item.height)
    return {
        f"{name}_{metric}": round(evaluator.compute().values[metric], 4)
        for name, evaluator in evaluators.items()
        for metric in ("map", "map50")
    }


# ---- Mask R-CNN ------------------------------------------------------------------------------------------------------
def run_peer(args: argparse.Namespace, seed: int, version: DatasetVersion) -> dict[str, Any]:
    """Train torchvision's Mask R-CNN on the task's samples, as many as the budget allows, and judge it."""
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    torch.set_num_threads(args.threads)
    torch.manual_seed(seed)
    recipe = make_one_recipe(args, seed, "instance")
    items = list(version.items("train"))
    width, height = choose_input_size(recipe, ((item.width, item.height) for item in items))
    spec = InputSpec(width=width, height=height, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    pictures = Pictures(version, ("train",), width=width, height=height, cache_bytes=1 << 30)
    task = InstanceTask(TaskContext(recipe, version.categories, pictures, spec))
    network = maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=len(version.categories) + 1,
        norm_layer=torch.nn.BatchNorm2d,
        min_size=min(width, height),
        max_size=max(width, height),
        image_mean=[0.0] * 3,  # the samples are normalised before
        image_std=[1.0] * 3,
    ).train()
    optimiser = build_optimiser(network, recipe)  # type: ignore[arg-type]
    start, steps = time.process_time(), 0
    while (progress := (time.process_time() - start) / args.cpu_s) < 1:
        rng = np.random.default_rng((seed, steps))
        samples = [task.make_sample(int(index), rng, progress) for index in rng.integers(len(items), size=PEER_BATCH)]
        images = normalise_images(torch.from_numpy(np.stack([sample.image for sample in samples])), spec)
        targets = [make_peer_target(sample.target.objects, width, height) for sample in samples]
        factor = learning_rate_factor(recipe.schedule, progress, recipe.warm_up, recipe.final_rate)
        set_learning_rate(optimiser, recipe.learning_rate * factor)
        loss = torch.stack(list(network(list(images), targets).values())).sum()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
        optimiser.step()
        steps += 1
    network.eval()
    spent = {"steps": steps, "pictures": steps * PEER_BATCH, "cpu_s": round(time.process_time() - start, 1)}
    scores = judge(version, lambda image: predict_peer(network, image, spec, version.categories))
    return scores | spent | {"parameters": sum(one.numel() for one in network.parameters())}


def make_peer_target(objects: Any, width: int, height: int) -> dict[str, torch.Tensor]:
    """Boxes, labels and masks as torchvision wants them."""
    masks = [draw_polygons([tuple(ring.ravel().tolist()) for ring in rings], height, width) for rings in objects.outlines]
    return {
        "boxes": torch.from_numpy(objects.boxes_xyxy).reshape(-1, 4),
        "labels": torch.from_numpy(objects.labels) + 1,
        "masks": torch.from_numpy(np.array(masks, np.uint8).reshape(-1, height, width)),
    }


def predict_peer(network: torch.nn.Module, image: np.ndarray, spec: InputSpec, categories: Categories) -> list[Annotation]:
    """What it finds in a picture, masks at half or more; torchvision brings the picture to its size and masks back."""
    with torch.inference_mode():
        (found,) = network(list(normalise_images(torch.from_numpy(image)[None], spec)))
    masks = (found["masks"][:, 0] >= 0.5).numpy()
    return [
        Annotation(
            category=categories[int(label) - 1],
            box_xyxy=find_mask_box(mask),
            mask=encode_mask(mask),
            confidence=float(confidence),
            origin="model",
        )
        for mask, label, confidence in zip(masks, found["labels"], found["scores"], strict=True)
        if mask.any()
    ]


if __name__ == "__main__":
    run_main(main)
