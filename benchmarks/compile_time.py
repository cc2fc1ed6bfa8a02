"""How long it takes to bring ResNet-50: import, compile and gate it with 300 calibration pictures, on two cores.

    python benchmarks/compile_time.py

A PyTorch state dict of seeded random weights is imported by its architecture, compared with PyTorch, quantised in two ways,
timed in both engines and gated. Weights are random, so the answers mean nothing and the limit of the gate lets every candidate
pass; the work is the same. Pictures: the ImageNet and TrashNet samples, 300 to calibrate, the rest to compare answers on. The
last line is one JSON object.
"""

import argparse
import time
from pathlib import Path

import torch

from harness import ProgressPrinter, judge, make_parser, open_workspace, print_result
from sightline.compiler.compile import compile_model
from sightline.compiler.importers.importer import ImportOptions
from sightline.compiler.importing.import_network import Meaning, import_network
from sightline.data.unlabelled import write_unlabelled
from source_networks import build_source_network

MOST_SECONDS = 180.0
MORE_PICTURES = "classification/trashnet-512px-120"


def main() -> None:
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    with open_workspace(args.workspace) as workspace:
        folder = workspace.root / f"compile-time-{time.time_ns()}"
        folder.mkdir(parents=True)
        weights = folder / f"{args.network}.pth"
        torch.save(build_source_network(args.network, args.seed).state_dict(), weights)
        calibration, validation = (
            write_unlabelled(part, folder / f"{part.name}-version")
            for part in gather_pictures(args.data, folder, args.calibration_images)
        )
        started = time.monotonic()
        imported = import_network(
            weights,
            folder / "model",
            args.network,
            options=ImportOptions(architecture=f"torchvision/{args.network}", width=224, height=224),
            meaning=Meaning(preset="imagenet-torch"),
            pictures=validation,
            on_progress=ProgressPrinter("import"),
        )
        import_s = time.monotonic() - started
        result = compile_model(
            folder / "model",
            folder / "artifact",
            validation,
            calibrate_on=calibration,
            max_drop=1.0,
            calibration_images=args.calibration_images,
            on_progress=ProgressPrinter("compile"),
        )
        total_s = time.monotonic() - started
    seconds = {stage: round(value, 1) for stage, value in result.report.seconds.items()}
    print(f"import {import_s:.1f} s, compile {total_s - import_s:.1f} s: {seconds}")
    print(result.report.verdict)
    print_result(
        "compile_time",
        network=args.network,
        import_s=round(import_s, 1),
        compile_s=round(total_s - import_s, 1),
        total_s=round(total_s, 1),
        stages=seconds,
        calibration_images=result.report.pictures["calibration_images"],
        validation_images=result.report.pictures["validation_images"],
        import_check=imported.manifest.export_check,
        verdict=result.report.verdict,
        targets=judge({"seconds": (MOST_SECONDS, "<=", total_s)}),
    )


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(__doc__, "classification/imagenet-sample")
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--calibration-images", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def gather_pictures(data: Path, folder: Path, count: int) -> tuple[Path, Path]:
    """Two folders of links: `count` pictures to calibrate, the others to compare answers on."""
    sources = [path for source in (data, data.parents[1] / MORE_PICTURES) for path in source.rglob("*.[jJ][pP]*[gG]")]
    parts = (folder / "calibration", folder / "validation")
    for part in parts:
        part.mkdir()
    for index, path in enumerate(sorted(sources, key=lambda path: path.name)):
        (parts[index >= count] / f"{index}-{path.name}").symlink_to(path.resolve())
    return parts


if __name__ == "__main__":
    main()
