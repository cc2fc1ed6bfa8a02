"""One detector before and after compiling: accuracy lost in INT8, and pictures a second from JPEG files to boxes.

    python benchmarks/int8_speed.py                        # trains `fast` on BCCD for 360 CPU-seconds first
    python benchmarks/int8_speed.py --model MODEL_FOLDER   # a Model trained before, for example by bccd.py --workspace

All sides read the same files and use the product's decoding, preparing and decode head. The baseline is FP32 eager PyTorch with
the same number of threads, one picture at a time as the Artifact takes them, in whichever memory layout is faster here; eager
in batches of 8 runs beside it, so that nobody has to ask. Sides take turns in every round; a ratio is the median of the rounds'
ratios. The last line is one JSON object.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from bccd import METRIC_CONFIDENCE, train
from eager import EagerModel
from harness import ProgressPrinter, judge, make_parser, open_workspace, print_result, run_main
from sightline.compiler.compile import compile_model
from sightline.data.importing import import_dataset
from sightline.data.versions import DatasetVersion
from sightline.metrics.evaluator import make_evaluator
from sightline.runtime.predictor import open_predictor

MAX_DROP, MIN_RATIO = 0.01, 3.0
EAGER_BATCH_SIZES = {"eager": 1, "eager_batched": 8}

Side = Callable[[Sequence[Path]], Iterable[Any]]
Rounds = list[dict[str, dict[str, float]]]


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
        eager = {name: choose_eager(model, args.threads, size, paths) for name, size in EAGER_BATCH_SIZES.items()}
        with open_predictor(compiled.folder) as predictor:
            facts = {name: getattr(predictor, name) for name in ("engine", "precision", "streams", "threads")}
            sides: dict[str, Side] = {name: one.predict_files for name, one in eager.items()}
            rounds = race(sides | {"int8": predictor.predict_stream}, paths, args.rounds, args.round_s)
    ratios = {name: summarise_ratios(rounds, name) for name in eager}
    print_rounds(rounds, ratios)
    targets = judge({"map_drop": (MAX_DROP, "<=", drop), "ratio": (MIN_RATIO, ">=", ratios["eager"]["median"])})
    print_result(
        "int8_speed",
        accuracy=accuracy,
        map_drop=round(drop, 4),
        ratio_over_eager=ratios["eager"],
        ratio_over_eager_batched=ratios["eager_batched"],
        eager={name: one.describe() for name, one in eager.items()},
        artifact=facts,
        rounds=rounds,
        targets=targets,
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


def choose_eager(model: Path, threads: int, batch_size: int, paths: Sequence[Path]) -> EagerModel:
    """The faster memory layout on 16 pictures, best of 3 after a warm-up: the baseline must not be a straw man."""
    timed = []
    for channels_last in (True, False):
        eager = EagerModel(model, threads, batch_size, channels_last)
        eager.predict_files(paths[:8])
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            eager.predict_files(paths[:16])
            seconds.append(time.perf_counter() - start)
        timed.append((min(seconds), eager))
    return min(timed, key=lambda row: row[0])[1]


def race(sides: dict[str, Side], paths: Sequence[Path], rounds: int, round_s: float) -> Rounds:
    """Let the sides take turns; a different one begins each round. The first round only warms up."""
    names, results = list(sides), []
    for number in range(rounds + 1):
        first = number % len(names)
        order = names[first:] + names[:first]
        result = {name: time_side(sides[name], paths, round_s if number else 1.0) for name in order}
        if number:
            results.append({name: result[name] for name in names})
    return results


def time_side(run: Side, paths: Sequence[Path], seconds: float) -> dict[str, float]:
    """Whole passes over the files until the seconds are over: pictures a second, CPU-milliseconds a picture."""
    done, wall, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < seconds:
        done += sum(1 for _ in run(paths))
    wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    return {"images_per_s": round(done / wall_s, 2), "cpu_ms_per_image": round(cpu_s / done * 1e3, 2)}


def summarise_ratios(rounds: Rounds, baseline: str) -> dict[str, float]:
    """How many times faster INT8 is than the baseline, over the rounds."""
    ratios = [one["int8"]["images_per_s"] / one[baseline]["images_per_s"] for one in rounds]
    return {"median": round(statistics.median(ratios), 3), "lowest": round(min(ratios), 3), "highest": round(max(ratios), 3)}


def print_rounds(rounds: Rounds, ratios: dict[str, dict[str, float]]) -> None:
    for number, one in enumerate(rounds, 1):
        parts = [f"{name} {row['images_per_s']:.1f}/s ({row['cpu_ms_per_image']:.1f} CPU-ms each)" for name, row in one.items()]
        print(f"round {number}: {', '.join(parts)}")
    for name, ratio in ratios.items():
        print(f"INT8 over {name}: {ratio['median']:.2f} times ({ratio['lowest']:.2f} to {ratio['highest']:.2f})")


if __name__ == "__main__":
    run_main(main)
