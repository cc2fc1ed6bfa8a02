"""The whole way from the same FP32 network: ours by `import`, `compile`, `deploy`, `serve`; each peer as documented.

    python benchmarks/serving/whole_way.py WORK --bench ../shared/bench/serving [--model resnet50] [--peers fastapi triton]

The network is the bench's own: torchvision, seeded weights, batch normalisation fitted to its first 32 pictures. Peers load the
INT8 file that the bench made of it with NNCF's defaults; ours is compiled on the bench's pictures, without labels. Random
weights have no accuracy to lose, so INT8 is asked for and the gate is open (`--max-drop 1`): what is compared is speed. Load
comes from the bench's generator, servers in turns. The last line is one JSON object.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from our_server import CLASS_COUNT
from peers import make_peers_parser, measure_server, print_table, summarise

from harness import judge, print_result, run_main

LEAST_OVER_BEST_PEER = {"mobilenet_v3_large": 1.25, "resnet50": 1.0}
FITTED = 32  # pictures that batch normalisation sees, as in the bench's make_models.py
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
SIDE = 224


def read_arguments() -> argparse.Namespace:
    parser = make_peers_parser(__doc__, list(LEAST_OVER_BEST_PEER), "16,64")
    parser.add_argument("--workspace", type=Path, help="where ours is made and kept; a temporary folder by default")
    return parser.parse_args()


def list_pictures(work: Path) -> list[Path]:
    """The bench's pictures in its order."""
    return [Path(line) for line in (work / "pictures.txt").read_text().splitlines()]


def write_weights(name: str, pictures: list[Path], path: Path) -> None:
    """The state dict of the network that the bench exports, made in the same way."""
    import cv2
    import torch
    import torchvision

    torch.manual_seed(0)
    network = getattr(torchvision.models, name)(weights=None)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean of one pass: the statistics of this batch exactly
    images = [cv2.cvtColor(cv2.resize(cv2.imread(str(one)), (SIDE, SIDE)), cv2.COLOR_BGR2RGB) for one in pictures[:FITTED]]
    batch = torch.stack([torch.from_numpy(image) for image in images])
    batch = ((batch - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)
    with torch.no_grad():
        network.train()(batch)
    torch.save(network.eval().state_dict(), path)


def run_cli(*words: str | Path) -> None:
    """One command of ours, its output on stderr. Raises: CalledProcessError."""
    command = [sys.executable, "-P", "-m", "sightline", *map(str, words)]
    print("sightline", *words, file=sys.stderr, flush=True)
    subprocess.run(command, check=True, stdout=sys.stderr)


def make_repository(arguments: argparse.Namespace, workspace: Path) -> Path:
    """Import, compile and deploy the network as `clf`."""
    pictures = list_pictures(arguments.work)
    weights, folder, classes = workspace / "weights.pt", workspace / "pictures", workspace / "classes.txt"
    workspace.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    for picture in pictures:
        if not (folder / picture.name).exists():
            (folder / picture.name).symlink_to(picture.resolve())
    classes.write_text("".join(f"class {number}\n" for number in range(CLASS_COUNT)))
    write_weights(arguments.model, pictures, weights)
    place = ("--workspace", workspace)
    shape = ("--architecture", f"torchvision/{arguments.model}", "--width", str(SIDE), "--height", str(SIDE))
    meaning = ("--preset", "imagenet-torch", "--resize", "stretch", "--shrink", "bilinear", "--categories", classes)
    run_cli("import", weights, "--name", "clf", *shape, *meaning, *place)
    run_cli("compile", "clf", "--data", folder, "--precision", "int8", "--max-drop", "1", *place)
    run_cli("deploy", "clf", *place)
    return workspace / "deployments"


def judge_whole_way(model: str, servers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Our best rate against the best of the best peer, and failures."""
    own = servers.get("sightline", {})
    peaks = [facts["peak"] for name, facts in servers.items() if name != "sightline"]
    ratio = round(own["peak"] / max(peaks), 3) if own and peaks else None
    return judge({"over_best_peer": (LEAST_OVER_BEST_PEER[model], ">=", ratio), "failed": (0, "<=", own.get("failed"))})


def main() -> None:
    arguments = read_arguments()
    with tempfile.TemporaryDirectory(prefix="sightline-serving-") as temporary:
        repository = make_repository(arguments, (arguments.workspace or Path(temporary)) / arguments.model)
        names = ["sightline", *arguments.peers]
        rounds: dict[str, list[list[dict[str, Any]]]] = {name: [] for name in names}
        for _ in range(arguments.rounds):
            for name in names:
                rounds[name].append(measure_server(arguments, name, repository))
    servers = {name: facts for name, measured in rounds.items() if (facts := summarise(measured))}
    best = max((facts["peak"] for facts in servers.values()), default=0.0)
    print_table(best, servers, arguments.clients.split(","))
    print_result(
        "serving_whole_way",
        model=arguments.model,
        data="299 pictures of imagenet-sample",
        weights="random, seed 0: INT8 with an open gate, accuracy decides nothing",
        servers=servers,
        targets=judge_whole_way(arguments.model, servers),
    )


if __name__ == "__main__":
    run_main(main)
