"""Our engines for NVIDIA GPUs beside PyTorch used by hand: pictures/s from an array in memory to its answer in memory.

    python benchmarks/gpu_engines.py                                    # needs a CUDA GPU; many minutes
    python benchmarks/gpu_engines.py --networks resnet50 --batches 64 --no-compiled
    python benchmarks/gpu_engines.py --device cpu --seconds 0.2 --no-compiled     # anywhere, proves nothing

Torchvision's networks with seeded weights. By hand: eager FP32, whose convolutions PyTorch rounds to TF32; eager FP16 with
channels last; FP16 by `torch.compile` with `max-autotune`, which captures CUDA graphs too. Each gets its pictures from pinned
memory and brings the answers back. Ours: the engines `torch` and `inductor` in FP32, FP16 and BF16, opened with one stream. All
take turns, in an order that changes; a number is the median of its turns, and `seconds_to_open` the time until the first answer
in this batch. The last line is one JSON object.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import torchvision

from harness import judge, print_result, run_main
from sightline.runtime.backend import Session, SessionOptions
from sightline.runtime.backends.cuda.session import TorchSession

NETWORKS = ("resnet50", "mobilenet_v3_large", "efficientnet_b0")
SIZE = 224
STATISTICS_BATCHES = 10
Infer = Callable[[np.ndarray], np.ndarray]
FASTER_THAN_EAGER = 2.0  # in FP16 than eager FP32, batch 1 and largest


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="of a turn")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "fp16", "bf16"])
    parser.add_argument("--mode", default="max-autotune", help="of torch.compile (default: %(default)s)")
    parser.add_argument("--no-compiled", action="store_true", help="without torch.compile and the engine inductor")
    return parser.parse_args()


def export(module: torch.nn.Module, path: Path) -> Path:
    """The network as ONNX, batch free, weights inside."""
    torch.onnx.export(
        module,
        (torch.rand(2, 3, SIZE, SIZE),),
        path,
        dynamo=True,
        opset_version=18,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("N")},),
        external_data=False,
        verbose=False,
    )
    model = onnx.load(path)
    model.ir_version = 10
    onnx.save(model, path)
    return path


def run_by_hand(run: Callable[[torch.Tensor], torch.Tensor], device: torch.device, dtype: torch.dtype) -> Infer:
    def infer(images: np.ndarray) -> np.ndarray:
        pinned = torch.from_numpy(images)
        if device.type == "cuda":
            pinned = pinned.pin_memory()
        with torch.inference_mode():
            there = pinned.to(device, non_blocking=True).to(dtype, memory_format=torch.channels_last)
            found: np.ndarray = run(there).float().cpu().numpy()
        return found

    return infer


def run_ours(session: Session) -> Infer:
    return lambda images: session.infer({"images": images})["logits"]


def make_sides(module: torch.nn.Module, graph: Path, args: argparse.Namespace) -> dict[str, Callable[[], Infer]]:
    device = torch.device(args.device)
    plain = module.to(device, memory_format=torch.channels_last)
    half = torch.float16 if device.type == "cuda" else torch.bfloat16

    def copy_half() -> torch.nn.Module:
        import copy

        return copy.deepcopy(plain).to(half)

    def ours(precision: Any, joins: bool) -> Infer:
        return run_ours(TorchSession(graph, SessionOptions(precision=precision, streams=1), device, joins))

    sides: dict[str, Callable[[], Infer]] = {
        "eager fp32": lambda: run_by_hand(plain, device, torch.float32),
        "eager fp16": lambda: run_by_hand(copy_half(), device, half),
    }
    if not args.no_compiled:
        compiled = lambda: torch.compile(copy_half(), mode=args.mode, dynamic=False)  # noqa: E731
        sides["torch.compile fp16"] = lambda: run_by_hand(compiled(), device, half)
        sides["inductor fp16"] = lambda: ours("fp16", True)
    for precision in args.precisions:
        sides[f"torch {precision}"] = lambda precision=precision: ours(precision, False)
    return sides


def measure(infer: Infer, images: np.ndarray, seconds: float) -> float:
    """Pictures a second."""
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        infer(images)
        count += len(images)
    return count / (time.perf_counter() - started)


def compare(name: str, args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    module = getattr(torchvision.models, name)(weights=None)
    with torch.no_grad():  # batch norms learn what passes, else the numbers of deep networks vanish in half precision
        for _ in range(STATISTICS_BATCHES):
            module(torch.randn(16, 3, SIZE, SIZE))
    module.eval()
    graph = export(module, folder / f"{name}.onnx")
    made = make_sides(module, graph, args)
    rng = np.random.default_rng(0)
    sides: dict[str, Infer] = {}
    opened: dict[str, float] = {}
    rows = []
    for batch in args.batches:
        images = rng.normal(size=(batch, 3, SIZE, SIZE)).astype(np.float32)
        answers = {}
        for side, make in made.items():
            started = time.perf_counter()
            if side not in sides:
                sides[side] = make()
            answers[side] = sides[side](images)
            opened[side] = round(time.perf_counter() - started, 2)
            for _ in range(3):
                sides[side](images)
        speeds: dict[str, list[float]] = {side: [] for side in sides}
        order = list(sides)
        for turn in range(args.rounds):
            for side in order[turn % len(order) :] + order[: turn % len(order)]:
                speeds[side].append(measure(sides[side], images, args.seconds))
        exact = answers["eager fp32"]
        rows.append(
            {
                "network": name,
                "batch": batch,
                "images_per_s": {side: round(statistics.median(found), 1) for side, found in speeds.items()},
                "seconds_to_open": opened.copy(),
                "error": {
                    side: float(f"{np.abs(one - exact).max() / np.abs(exact).max():.2e}") for side, one in answers.items()
                },
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    args = read_arguments()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        for name in args.networks:
            rows += compare(name, args, Path(folder))
    ours = [side for side in rows[0]["images_per_s"] if side.startswith(("torch fp", "torch bf", "inductor"))]
    targets: dict[str, tuple[float, str, float | None]] = {}
    for row in rows:
        speeds, where = row["images_per_s"], f"{row['network']}, batch {row['batch']}"
        best = max(speeds[side] for side in ours)
        by_hand = max(speed for side, speed in speeds.items() if side not in ours)
        targets[f"{where}: over eager fp32"] = (FASTER_THAN_EAGER, ">=", round(best / speeds["eager fp32"], 3))
        targets[f"{where}: over the best by hand"] = (0.97, ">=", round(best / by_hand, 3))
    gpu = torch.cuda.get_device_name() if args.device == "cuda" else None
    print_result("gpu_engines", gpu=gpu, cuda=torch.version.cuda, torch=torch.__version__, rows=rows, targets=judge(targets))


if __name__ == "__main__":
    run_main(main)
