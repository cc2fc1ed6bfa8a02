"""Speed of compiled networks: PyTorch, each engine used by hand as its documentation says, and Sightline's Artifact.

    python benchmarks/compile_networks.py                              # all twelve networks; about an hour on two cores
    python benchmarks/compile_networks.py --networks resnet50 googlenet
    python benchmarks/compile_networks.py --no-torch-compile

Weights are random and seeded: accuracy means nothing, and the limit of the gate lets every candidate pass. Every side runs the
same real pictures, in turns, round after round; a ratio is the median of the ratios of the rounds. Batches of eight, but for
OpenVINO's own throughput mode. Each network's row is also written to `<workspace>/compile_networks.jsonl` as it is done. The
last line is one JSON object.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from engines_by_hand import (
    ArtifactSide,
    OpenVinoQueue,
    Side,
    quantise_onnxruntime,
    quantise_openvino,
    run_compiled,
    run_eager,
    run_onnxruntime,
    run_openvino,
)
from harness import ProgressPrinter, judge, make_parser, open_workspace, print_result
from sightline.compiler.compile import CompileResult, compile_model
from sightline.compiler.importers.importer import ImportOptions
from sightline.compiler.importing.import_network import ImportResult, Meaning, import_network
from sightline.data.unlabelled import write_unlabelled
from sightline.data.versions import DatasetVersion
from sightline.imaging.preprocessing import prepare_batch
from sightline.runtime.predictor import MODEL_GRAPH
from source_networks import NETWORKS, build_source_network

MIN_SHARE_OF_BEST = 0.97
# Batch-8 throughput over PyTorch eager that these must reach.
MIN_OVER_EAGER = {"resnet50": 6.0, "mobilenet_v3_large": 5.0, "googlenet": 9.0}


def main() -> None:
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    rows = {}
    with open_workspace(args.workspace) as workspace:
        workspace.root.mkdir(parents=True, exist_ok=True)
        pictures = write_unlabelled(args.data / "images", workspace.root / f"pictures-{time.time_ns()}")
        for name in args.networks:
            rows[name] = row = measure_network(name, workspace.root, pictures, args)
            print(f"{name}: {json.dumps(row)}", flush=True)
            with (workspace.root / "compile_networks.jsonl").open("a") as file:
                file.write(json.dumps({"network": name, **row}) + "\n")
    print_table(rows)
    print_result(
        "compile_networks",
        networks=rows,
        batch=args.batch,
        threads=args.threads,
        seed=args.seed,
        calibration_images=args.calibration_images,
        targets=judge(find_targets(rows)),
    )


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(__doc__, "classification/imagenet-sample")
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--round-s", type=float, default=0.8)
    parser.add_argument("--calibration-images", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-torch-compile", action="store_true", help="leave torch.compile out: it takes most of the time")
    return parser.parse_args()


def measure_network(name: str, root: Path, pictures: DatasetVersion, args: argparse.Namespace) -> dict[str, Any]:
    """Import, compile, open every side, and race them."""
    module = build_source_network(name, args.seed)
    imported = import_module(name, module, root, pictures)
    result = compile_model(
        imported.folder,
        root / f"{name}-artifact-{time.time_ns()}",
        pictures,
        precision="auto",
        max_drop=1.0,
        calibration_images=args.calibration_images,
        validation_images=16,
        on_progress=ProgressPrinter(name),
    )
    spec = imported.manifest.input
    items = list(pictures.items())
    images = [pictures.read_image(item) for item in items[: args.batch]]
    batch, _ = prepare_batch(images, spec)
    samples = [prepare_batch([pictures.read_image(item)], spec)[0] for item in items[-args.calibration_images :]]
    sides = open_sides(module, imported, result, batch, samples, args)
    speeds = race(sides, args)
    for side in sides.values():
        side.close()
    return sum_up(imported, result, speeds)


def import_module(name: str, module: nn.Module, root: Path, pictures: DatasetVersion) -> ImportResult:
    """The module as a Model, its outputs left as tensors."""
    size = NETWORKS[name].size
    return import_network(
        module,
        root / f"{name}-{time.time_ns()}",
        name,
        options=ImportOptions(width=size, height=size, channels=3),
        meaning=Meaning(preset="imagenet-torch", head="raw"),
        pictures=pictures,
        on_progress=ProgressPrinter(name),
    )


def open_sides(
    module: nn.Module,
    imported: ImportResult,
    result: CompileResult,
    batch: np.ndarray,
    samples: list[np.ndarray],
    args: argparse.Namespace,
) -> dict[str, Side]:
    """Every side, warmed up."""
    graph, threads, name = imported.folder / MODEL_GRAPH, args.threads, imported.manifest.input.name
    int8_onnx = imported.folder.with_name(f"{imported.folder.name}.int8.onnx")
    quantise_onnxruntime(graph, int8_onnx, samples, name)
    int8_openvino = quantise_openvino(graph, samples)
    sides: dict[str, Side] = {
        "torch eager": run_eager(module, batch, torch.contiguous_format),
        "torch eager channels_last": run_eager(module, batch, torch.channels_last),
        "onnxruntime fp32": run_onnxruntime(graph, batch, threads),
        "onnxruntime int8": run_onnxruntime(int8_onnx, batch, threads),
        "openvino fp32": run_openvino(graph, batch, threads, "f32"),
        "openvino bf16": run_openvino(graph, batch, threads, "bf16"),
        "openvino int8": run_openvino(int8_openvino, batch, threads, "f32"),
        "openvino int8 queue": OpenVinoQueue(int8_openvino, batch, threads, "f32"),
        "openvino int8 of onnxruntime's file": run_openvino(int8_onnx, batch, threads, "f32"),
        "artifact": ArtifactSide(result, batch, name),
    }
    if not args.no_torch_compile:
        sides["torch compile"] = run_compiled(module, batch)
    return sides


def race(sides: dict[str, Side], args: argparse.Namespace) -> dict[str, list[float]]:
    """Pictures a second of each side in each round; the order turns, so that nobody always follows the same neighbour."""
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for round_index in range(args.rounds):
        shift = round_index % len(names)
        for name in names[shift:] + names[:shift]:
            speeds[name].append(sides[name].measure(args.round_s))
    return speeds


def sum_up(imported: ImportResult, result: CompileResult, speeds: dict[str, list[float]]) -> dict[str, Any]:
    """Medians, and the Artifact against eager PyTorch and against the best of the others."""
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    best = max((name for name in medians if name != "artifact"), key=lambda name: medians[name])
    manifest = result.manifest
    return {
        "artifact": f"{result.report.chosen}, {manifest.streams} x {manifest.threads} x {manifest.batch}",
        "images_per_s": {name: round(value, 2) for name, value in medians.items()},
        "over_eager": ratio(speeds["artifact"], speeds["torch eager"]),
        "over_eager_channels_last": ratio(speeds["artifact"], speeds["torch eager channels_last"]),
        "best_other": best,
        "share_of_best": ratio(speeds["artifact"], speeds[best]),
        "share_of_peak": round(result.report.peak.share, 3) if result.report.peak else None,
        "import_error": imported.verification.max_relative_error,
        "compile_s": round(sum(result.report.seconds.values()), 1),
    }


def ratio(ours: list[float], theirs: list[float]) -> float:
    return round(statistics.median(one / other for one, other in zip(ours, theirs, strict=True)), 3)


def find_targets(rows: dict[str, Any]) -> dict[str, tuple[float, str, float | None]]:
    targets: dict[str, tuple[float, str, float | None]] = {
        f"{name}: share of the best other": (MIN_SHARE_OF_BEST, ">=", row["share_of_best"]) for name, row in rows.items()
    }
    for name, limit in MIN_OVER_EAGER.items():
        if name in rows:
            targets[f"{name}: over eager"] = (limit, ">=", rows[name]["over_eager"])
    return targets


def print_table(rows: dict[str, Any]) -> None:
    """Pictures a second, a line each network."""
    names = list(next(iter(rows.values()))["images_per_s"])
    print("network | " + " | ".join(names) + " | over eager | share of best")
    for network, row in rows.items():
        speeds = " | ".join(f"{row['images_per_s'].get(name, float('nan')):.1f}" for name in names)
        print(f"{network} | {speeds} | {row['over_eager']:.2f} | {row['share_of_best']:.3f} ({row['best_other']})")


if __name__ == "__main__":
    main()
