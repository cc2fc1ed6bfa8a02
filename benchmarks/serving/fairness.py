"""Fair shares: a quiet model beside a flooded one, and what floods get of the Device by the weights of models and of API keys.

    python benchmarks/serving/fairness.py WORK [--seconds 20] [--clients 64]

WORK is the folder that the peers' `setup.sh` prepared. The quiet MobileNetV3-L is asked by Poisson arrivals at a tenth of its
peak, alone, beside a flooded MobileNetV3-L, and beside a flooded ResNet-50. Then two models are flooded at a time, weights 1:1,
2:1, 3:1, and a ResNet-50 1:1: a share is that of the seconds that executions were in slots; answers are told beside. Last, two
keys of weights 1 and 2 flood one model, and a share is that of answers. The last line is one JSON object.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))
from our_server import OurServer, add_model, load, read_json, read_pictures, serve

from harness import judge, print_result, run_main
from sightline.serving.http.keys import KeyFile, create_key

MOST_P99_RATIO = 3.0
MOST_SHARE_ERROR = 0.10
QUIET_SHARE = 0.1  # of its peak
SETTLE_S = 2.5  # until a flood has filled its queue
WEIGHTS = {"quiet": 1.0, "flooded": 1.0, "double": 2.0, "triple": 3.0}
COMPUTE = ("compute_input", "compute_infer", "compute_output")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0, help="measured seconds of a point (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=64, help="closed loops of a flood (default: %(default)s)")
    return parser.parse_args()


@contextmanager
def flood(
    server: OurServer, models: list[str], pictures: list[bytes], arguments: argparse.Namespace, margin_s: float = 6.0
) -> Iterator[None]:
    """Closed loops on each of the models while the block runs; it should take no longer than a point and the margin."""
    plan = {"clients": (arguments.clients,), "duration_s": arguments.seconds + margin_s, "warm_up_s": 0.5}
    with ThreadPoolExecutor(len(models)) as pool:
        floods = [pool.submit(load, server, model, pictures, **plan) for model in models]
        time.sleep(SETTLE_S)
        yield
        for flooded in floods:
            check_statuses(flooded.result().points[0])


def check_statuses(point: Any) -> None:
    """Raises: RuntimeError when a flood was anything but answered: its share would say nothing."""
    if set(point.statuses) != {"200"} or point.broken or point.unfinished:
        raise RuntimeError(f"expected every request to be answered 200, got {point.statuses}, {point.broken} broken")


def measure_quiet(server: OurServer, pictures: list[bytes], rate: float, seconds: float) -> dict[str, float]:
    """Percentiles of the quiet model's answers, and how many were not answered."""
    (point,) = load(server, "quiet", pictures, rates=(f"{rate:.2f}",), duration_s=seconds, warm_up_s=1.0).points
    assert point.answered is not None
    answered = point.answered
    failed = point.planned - answered.count
    return {
        "rate": rate,
        "count": answered.count,
        "p50": round(answered.p50, 2),
        "p99": round(answered.p99, 2),
        "failed": failed,
    }


def read_use(server: OurServer, model: str) -> tuple[int, float]:
    """Answers of a model so far, and the seconds that its executions were in slots."""
    (version,) = read_json(f"{server.url}/v2/models/{model}/stats")["model_stats"]
    in_slots_ns = sum(int(batch[part]["ns"]) for batch in version["batch_stats"] for part in COMPUTE)
    return int(version["inference_stats"]["success"]["count"]), in_slots_ns / 1e9


def measure_shares(
    server: OurServer, models: list[str], pictures: list[bytes], arguments: argparse.Namespace
) -> dict[str, Any]:
    """What two flooded models get in the same stretch of time."""
    with flood(server, models, pictures, arguments):
        before = [read_use(server, model) for model in models]
        time.sleep(arguments.seconds)
        after = [read_use(server, model) for model in models]
    answers = [late[0] - early[0] for early, late in zip(before, after, strict=True)]
    slot_s = [round(late[1] - early[1], 3) for early, late in zip(before, after, strict=True)]
    return {"models": models, "answers": answers, "slot_s": slot_s}


def compute_error(amounts: list[float], weights: list[float]) -> float:
    """How far the shares are from those of the weights, the worst of them, relative."""
    total, whole = sum(amounts), sum(weights)
    return round(max(abs(amount / total / (weight / whole) - 1) for amount, weight in zip(amounts, weights, strict=True)), 4)


def measure_keys(repository: Path, log: Path, pictures: list[bytes], arguments: argparse.Namespace) -> dict[str, Any]:
    """Two keys of weights 1 and 2 flood one model."""
    made = [create_key(name) for name in ("light", "heavy")]
    records = tuple(msgspec.structs.replace(made[place][1], weight=weight) for place, weight in enumerate((1.0, 2.0)))
    key_file = log.with_name("keys.json")
    key_file.write_bytes(msgspec.json.encode(KeyFile(records)))
    plan = {"clients": (arguments.clients,), "duration_s": arguments.seconds, "warm_up_s": SETTLE_S}
    with serve(repository, log, "--keys", str(key_file)) as server, ThreadPoolExecutor(len(made)) as pool:
        floods = [pool.submit(load, server, "quiet", pictures, api_key=token, **plan) for token, _ in made]
        points = [flooded.result().points[0] for flooded in floods]
    for point in points:
        check_statuses(point)
    rates = [point.answered_per_s for point in points]
    return {"keys": ["light", "heavy"], "answers_per_s": rates, "error": compute_error(rates, [1.0, 2.0])}


def measure_tails(server: OurServer, pictures: list[bytes], arguments: argparse.Namespace) -> dict[str, Any]:
    """The quiet model alone and beside each flood."""
    (peak,) = load(server, "quiet", pictures, clients=(16,), duration_s=arguments.seconds / 2).points
    rate = QUIET_SHARE * peak.answered_per_s
    tails = {"alone": measure_quiet(server, pictures, rate, arguments.seconds)}
    print(f"alone: {tails['alone']}", file=sys.stderr, flush=True)
    for flooded in ("flooded", "resnet50"):
        with flood(server, [flooded], pictures, arguments):
            tails[flooded] = measure_quiet(server, pictures, rate, arguments.seconds)
        print(f"beside {flooded}: {tails[flooded]}", file=sys.stderr, flush=True)
    return tails


def measure_pairs(server: OurServer, pictures: list[bytes], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Two models flooded at a time."""
    pairs = []
    for models in (["flooded", "quiet"], ["double", "quiet"], ["triple", "quiet"], ["resnet50", "quiet"]):
        found = measure_shares(server, models, pictures, arguments)
        weights = [WEIGHTS.get(model, 1.0) for model in models]
        found |= {
            "error": compute_error(found["slot_s"], weights),
            "error_of_answers": compute_error(found["answers"], weights),
        }
        print(found, file=sys.stderr, flush=True)
        pairs.append(found)
    return pairs


def main() -> None:
    arguments = read_arguments()
    pictures = read_pictures(arguments.work)
    networks = arguments.work / "models"
    with tempfile.TemporaryDirectory(prefix="sightline-serving-") as temporary:
        repository, log = Path(temporary, "repository"), Path(temporary, "log")
        for name, weight in WEIGHTS.items():
            add_model(repository, name, networks / "mobilenet_v3_large_int8.xml", weight=weight)
        add_model(repository, "resnet50", networks / "resnet50_int8.xml")
        with serve(repository, log) as server:
            tails = measure_tails(server, pictures, arguments)
            pairs = measure_pairs(server, pictures, arguments)
        keys = measure_keys(repository, log, pictures, arguments)
    targets: dict[str, tuple[float, str, float | None]] = {}
    for flooded in ("flooded", "resnet50"):
        ratio = round(tails[flooded]["p99"] / tails["alone"]["p99"], 2)
        targets[f"p99_beside_{flooded}"] = (MOST_P99_RATIO, "<=", ratio)
    targets["quiet_failed"] = (0, "<=", sum(tail["failed"] for tail in tails.values()))
    for pair in pairs:
        targets[f"share_error_{pair['models'][0]}"] = (MOST_SHARE_ERROR, "<=", pair["error"])
    targets["share_error_keys"] = (MOST_SHARE_ERROR, "<=", keys["error"])
    print_result("serving_fairness", clients=arguments.clients, tails=tails, pairs=pairs, keys=keys, targets=judge(targets))


if __name__ == "__main__":
    run_main(main)
