"""One detector before and after compiling: accuracy lost in INT8, and pictures a second from JPEG files to boxes.

    python benchmarks/int8_speed.py                        # trains `fast` on BCCD for 360 CPU-seconds first
    python benchmarks/int8_speed.py --model MODEL_FOLDER   # a Model trained before, for example by bccd.py --workspace

Both sides read the same files and use the product's decoding, preparing and decode head. The baseline is FP32 eager PyTorch
with the same number of threads, in whichever of four settings (batch 1 or 8, either memory layout) is fastest here. Rounds
alternate between both sides; the ratio is the median of the rounds' ratios. The last line is one JSON object.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from sightline.compiler.compile import compile_model

from bccd import METRIC_CONFIDENCE, train
from eager import EagerModel
from harness import ProgressPrinter, judge, make_parser, open_workspace, print_result
from sightline.data.importing import import_dataset
from sightline.data.versions import DatasetVersion
from sightline.metrics.evaluator import make_evaluator
from sightline.runtime.predictor import Predictor, open_predictor

MAX_DROP, MIN_RATIO = 0.01, 3.0
EAGER_SETTINGS = ((1, True), (1, False), (8, True), (8, False))  # (batch size, channels last)


def main() -> None:
    args = parse_arguments()
    with open_workspace(args.workspace) as workspace:
        version, _ = import_dataset(args.data / "BCCD", workspace, "bccd")
        model = args.model or train(version, workspace, args, args.seed, ("train", "val"))
        artifact = workspace.root / "artifacts" / f"bccd-int8-{time.time_ns()}"
        compiled = compile_model(
            model,
            artifact,
            version,
            precision="int8",
            max_drop=MAX_DROP,
            seed=args.seed,
            on_progress=ProgressPrinter("compile"),
        )
        accuracy = {"fp32": score(model, version), "int8": score(compiled.folder, version)}
        drop = accuracy["fp32"]["map"] - accuracy["int8"]["map"]
        print(f"test mAP50-95: FP32 {accuracy['fp32']['map']:.4f}, INT8 {accuracy['int8']['map']:.4f}, drop {drop:+.4f}")
        paths = list_files(args.data / "BCCD", "test")
        eager, setting = choose_eager(model, args.threads, paths)
        with open_predictor(compiled.folder) as predictor:
            facts = describe_artifact(predictor)
            rounds = race(eager, predictor, paths, args.rounds, args.round_s)
    ratios = [one["int8"]["images_per_s"] / one["eager"]["images_per_s"] for one in rounds]
    ratio = statistics.median(ratios)
    print_rounds(rounds, ratios)
    print_result(
        "int8_speed",
        accuracy=accuracy,
        map_drop=round(drop, 4),
        ratio=round(ratio, 3),
        ratio_range=[round(min(ratios), 3), round(max(ratios), 3)],
        eager=setting,
        artifact=facts,
        rounds=rounds,
        targets=judge({"map_drop": (MAX_DROP, "<=", drop), "ratio": (MIN_RATIO, ">=", ratio)}),
    )


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(__doc__, "detection/bccd")
    parser.add_argument("--model", type=Path, help="folder of a detection Model with BCCD's categories; trained here if absent")
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds (default: %(default)s)")
    parser.add_argument("--round-s", type=float, default=4.0, help="seconds of each side in a round (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(cpu_s=360.0, network="fast", tune=False, recipe={})
    return parser.parse_args()


def score(folder: Path, version: DatasetVersion) -> dict[str, float]:
    """mAP on the test split of a Model (FP32, compiled engine) or an Artifact."""
    evaluator = make_evaluator("detection", version.categories, version.manifest.unlabelled_pixels)
    with open_predictor(folder) as predictor:
        for item in version.items("test"):
            answer = predictor.predict([version.read_image(item)], confidence_threshold=METRIC_CONFIDENCE)[0]
            evaluator.add(item.annotations, answer, item.width, item.height)
    values = evaluator.compute().values
    return {name: round(values[name], 4) for name in ("map", "map50")}


def list_files(root: Path, split: str) -> list[Path]:
    names = (root / "ImageSets" / "Main" / f"{split}.txt").read_text().split()
    return [root / "JPEGImages" / f"{name}.jpg" for name in names]


def choose_eager(model: Path, threads: int, paths: Sequence[Path]) -> tuple[EagerModel, dict[str, Any]]:
    """The fastest of the eager settings on 16 pictures, after a warm-up: the baseline must not be a straw man."""
    timed = []
    for batch_size, channels_last in EAGER_SETTINGS:
        eager = EagerModel(model, threads, batch_size, channels_last)
        eager.predict_files(paths[:8])
        start = time.perf_counter()
        eager.predict_files(paths[:16])
        timed.append((time.perf_counter() - start, batch_size, channels_last, eager))
    _, batch_size, channels_last, eager = min(timed, key=lambda row: row[0])
    return eager, {"batch_size": batch_size, "channels_last": channels_last, "threads": threads, "precision": "fp32"}


def describe_artifact(predictor: Predictor) -> dict[str, Any]:
    return {name: getattr(predictor, name) for name in ("engine", "precision", "streams", "threads")}


def race(
    eager: EagerModel, predictor: Predictor, paths: Sequence[Path], rounds: int, round_s: float
) -> list[dict[str, dict[str, float]]]:
    """Alternate both sides; each goes first in every second round. The first round only warms up."""

    def run_eager(files: Sequence[Path]) -> Iterable[Any]:
        return eager.predict_files(files)

    sides: dict[str, Callable[[Sequence[Path]], Iterable[Any]]] = {"eager": run_eager, "int8": predictor.predict_stream}
    results = []
    for number in range(rounds + 1):
        order = list(sides) if number % 2 else list(sides)[::-1]
        result = {name: time_side(sides[name], paths, round_s if number else 1.0) for name in order}
        if number:
            results.append({name: result[name] for name in sides})
    return results


def time_side(run: Callable[[Sequence[Path]], Iterable[Any]], paths: Sequence[Path], seconds: float) -> dict[str, float]:
    """Whole passes over the files until the seconds are over: pictures a second, CPU-milliseconds a picture."""
    done, wall, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < seconds:
        done += sum(1 for _ in run(paths))
    wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    return {"images_per_s": round(done / wall_s, 2), "cpu_ms_per_image": round(cpu_s / done * 1e3, 2)}


def print_rounds(rounds: Sequence[dict[str, dict[str, float]]], ratios: Sequence[float]) -> None:
    for number, (one, ratio) in enumerate(zip(rounds, ratios, strict=True), 1):
        print(
            f"round {number}: eager FP32 {one['eager']['images_per_s']:.1f} pictures/s "
            f"({one['eager']['cpu_ms_per_image']:.1f} CPU-ms each), INT8 {one['int8']['images_per_s']:.1f} "
            f"({one['int8']['cpu_ms_per_image']:.1f}), {ratio:.2f} times"
        )


if __name__ == "__main__":
    main()
