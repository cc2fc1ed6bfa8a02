"""Networks with seeded random weights: eager PyTorch, each engine used by hand as its documentation says, and the Artifact.

    python benchmarks/compile_networks.py                                  # ResNet-50 and MobileNetV3-Large
    python benchmarks/compile_networks.py --networks timm/efficientnet_b0

Speed only: weights are random, so accuracy means nothing and the limit of the gate lets every candidate pass. All sides take
the same prepared batch of real pictures, in turns; a ratio is the median of the ratios of the rounds. The last line is JSON.
"""

import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from harness import ProgressPrinter, judge, make_parser, open_workspace, print_result
from sightline.compiler.compile import CompileResult, compile_model
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.folders import hash_files, new_folder, write_manifest
from sightline.core.host import describe_host, now_utc
from sightline.core.manifests import ModelManifest
from sightline.data.blobs import BlobStore
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.imaging.preprocessing import prepare_batch
from sightline.imaging.reading import probe_image
from sightline.models.export import export_onnx
from sightline.models.network import Network
from sightline.models.table import build_network
from sightline.runtime.predictor import MODEL_GRAPH, open_predictor
from sightline.runtime.telemetry import silence_telemetry

SIZE, CLASSES = 224, 1000
MIN_SHARE_OF_BEST = 0.97
Side = Callable[[np.ndarray], object]


def main() -> None:
    parser = make_parser(__doc__, "classification/imagenet-sample")
    parser.add_argument("--networks", nargs="+", default=["timm/resnet50", "timm/mobilenetv3_large_100"])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--round-s", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = {}
    with open_workspace(args.workspace) as workspace:
        version = write_version(args.data, workspace.root)
        for name in args.networks:
            network, model = write_model(name, workspace.root, args.seed)
            out = workspace.root / f"{model.name}-artifact-{time.time_ns()}"
            result = compile_model(model, out, version, precision="auto", max_drop=1.0, on_progress=ProgressPrinter(name))
            items = list(version.items("val"))[: args.batch]
            batch, _ = prepare_batch([version.read_image(item) for item in items], network.input_spec)
            rows[name] = race_network(network, model / MODEL_GRAPH, result, batch, args)
    targets = {
        f"{name}: share of the best engine": (MIN_SHARE_OF_BEST, ">=", row["share_of_best"]) for name, row in rows.items()
    }
    print_result(
        "compile_networks", networks=rows, batch=args.batch, threads=args.threads, seed=args.seed, targets=judge(targets)
    )


def write_version(data: Path, root: Path) -> DatasetVersion:
    """The ImageNet pictures, every second one for calibration; their labels play no part."""
    names = Categories(str(index) for index in range(CLASSES))
    with VersionWriter(root / f"pictures-{time.time_ns()}", "pictures", names, BlobStore(root / "blobs")) as writer:
        for index, path in enumerate(sorted((data / "images").iterdir())):
            content = path.read_bytes()
            header = probe_image(content)
            writer.add(
                Item(
                    blob=writer.blobs.put_bytes(content),
                    file_name=path.name,
                    width=header.width,
                    height=header.height,
                    orientation=header.orientation,
                    split="train" if index % 2 else "val",
                    annotations=(Annotation(category=str(index % CLASSES)),),
                )
            )
        return writer.close()


def write_model(name: str, root: Path, seed: int) -> tuple[Network, Path]:
    """A Model folder around random weights."""
    torch.manual_seed(seed)
    network = build_network("classification", name, CLASSES, SIZE, SIZE).eval()
    target = root / f"{name.replace('/', '-')}-{time.time_ns()}"
    with new_folder(target) as folder:
        export_onnx(network, folder / MODEL_GRAPH)
        manifest = ModelManifest(
            name=name.split("/")[-1],
            task="classification",
            network=name,
            categories=tuple(str(index) for index in range(CLASSES)),
            input=network.input_spec,
            decode=network.decode_spec,
            parameter_count=network.count_parameters(),
            seed=seed,
            host=describe_host(),
            created_at=now_utc(),
            files=hash_files(folder),
        )
        write_manifest(folder, manifest)
    return network, target


def race_network(network: Network, graph: Path, result: CompileResult, batch: np.ndarray, args: object) -> dict[str, object]:
    """Pictures a second of every side, and the Artifact's share of the best engine used by hand."""
    threads, rounds, seconds = args.threads, args.rounds, args.round_s  # type: ignore[attr-defined]
    with open_predictor(result.folder, streams=1, threads=threads) as predictor:
        sides: dict[str, Side] = {
            "torch eager": run_eager(network, torch.contiguous_format),
            "torch eager channels_last": run_eager(network, torch.channels_last),
            "onnxruntime fp32 by hand": run_onnxruntime(graph, threads),
            "openvino fp32 by hand": run_openvino(graph, "f32", threads, batch),
            "openvino bf16 by hand": run_openvino(graph, "bf16", threads, batch),
            "artifact": predictor.predict_raw,
        }
        for side in sides.values():
            side(batch)
        speeds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, side in sides.items():
                speeds[name].append(measure(side, batch, seconds))
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    best = max((name for name in sides if "by hand" in name), key=lambda name: medians[name])
    eager = max(("torch eager", "torch eager channels_last"), key=lambda name: medians[name])
    row = {
        "artifact": f"{result.manifest.engine} {result.manifest.precision}",
        "verdict": result.report.verdict,
        "images_per_s": {name: round(value, 2) for name, value in medians.items()},
        "over_eager": ratio(speeds["artifact"], speeds[eager]),
        "best_by_hand": best,
        "share_of_best": ratio(speeds["artifact"], speeds[best]),
        "compile_s": round(sum(result.report.seconds.values()), 1),
    }
    print(f"{result.manifest.name}: {row}", flush=True)
    return row


def measure(side: Side, batch: np.ndarray, seconds: float) -> float:
    count, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds or count == 0:
        side(batch)
        count += len(batch)
    return count / elapsed if elapsed else 0.0


def ratio(ours: list[float], theirs: list[float]) -> float:
    return round(statistics.median(one / other for one, other in zip(ours, theirs, strict=True)), 3)


def run_eager(network: Network, layout: torch.memory_format) -> Side:
    net = copy.deepcopy(network).to(memory_format=layout)

    @torch.inference_mode()
    def run(batch: np.ndarray) -> object:
        return net(torch.from_numpy(batch).to(memory_format=layout))

    return run


def run_onnxruntime(graph: Path, threads: int) -> Side:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, {"images": batch})


def run_openvino(graph: Path, precision: str, threads: int, batch: np.ndarray) -> Side:
    silence_telemetry()
    import openvino

    core = openvino.Core()
    model = core.read_model(graph)
    model.reshape(list(batch.shape))
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda data: request.infer({0: data})


if __name__ == "__main__":
    main()
