"""Our server and its peers under the same work, JPEG to five best, side by side in one run.

    ../shared/bench/serving/setup.sh WORK ../shared/data/classification/imagenet-sample   # once: peers, networks, loads
    python benchmarks/serving/peers.py WORK --bench ../shared/bench/serving
    python benchmarks/serving/peers.py WORK --bench ... --model resnet50 --peers fastapi triton --clients 16

Every server loads the same INT8 file. The limit is measured at the start and at the end (see `limit.py`), every server in
each round, by the bench's own load generator: closed loops, then Poisson arrivals at 80 % of its best rate. Numbers are medians
of the rounds. The last line is one JSON object.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from our_server import add_model

from harness import judge, print_result, run_main
from sightline.core.errors import Conflict

PEERS = ("fastapi", "triton", "litserve", "mlserver", "bentoml", "ray")
TUNING = {"resnet50": {"litserve": {"WORKERS": "1", "THREADS": "2", "BATCH": "8", "WAIT_MS": "5"},
                       "triton": {"WORKERS": "1", "THREADS": "2", "BATCH": "8"}}}  # fmt: skip
SHARE_OF_LIMIT = {"mobilenet_v3_large": 0.95, "resnet50": 0.97}
MOST_P99_MS = {"mobilenet_v3_large": 40.0}
BENCH_PORT = 9000  # where the bench's `measure.py` starts every server
PORT_PATIENCE_S = 10.0


def make_peers_parser(description: str | None, models: list[str], clients: str) -> argparse.ArgumentParser:
    """The arguments of benchmarks that hold our server against its peers. Args: clients: closed loops by default."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--bench", type=Path, required=True, help="folder of the peers' scripts")
    parser.add_argument("--model", default="mobilenet_v3_large", choices=models)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--clients", default=clients, help="closed loops (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=8.0, help="measured seconds of a point (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1)
    return parser


def measure_limit(arguments: argparse.Namespace) -> dict[str, float]:
    """Images a second without a server, by `limit.py`, run with a peer's interpreter so that the libraries are theirs."""
    python = arguments.work / "venvs" / "fastapi" / "bin" / "python"
    command = [str(python), str(Path(__file__).with_name("limit.py")), str(arguments.work), "--bench", str(arguments.bench)]
    command += ["--model", arguments.model, "--seconds", str(arguments.seconds), "--rounds", "1"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    limits: dict[str, float] = json.loads(lines[-1])["limit"]
    return limits


def await_port() -> None:
    """Wait for the last server to let go of the bench's port. Raises: Conflict when it does not: another would be measured."""
    until_s = time.monotonic() + PORT_PATIENCE_S
    while True:
        try:
            socket.create_server(("127.0.0.1", BENCH_PORT)).close()
        except OSError as error:
            if time.monotonic() > until_s:
                raise Conflict(
                    f"port {BENCH_PORT} is taken; end what listens there, perhaps a server of a run that was cut off"
                ) from error
            time.sleep(0.1)
        else:
            return


def measure_server(arguments: argparse.Namespace, name: str, repository: Path) -> list[dict[str, Any]]:
    """Rows of the bench's `measure.py`, one a point, the open loop last. Raises: Conflict when its port is taken."""
    await_port()
    command = ["python3", str(arguments.bench / "measure.py"), str(arguments.work.resolve()), name, "--open"]
    command += ["--points", arguments.clients, "--secs", str(arguments.seconds)]
    if name == "sightline":
        own = f"exec {sys.executable} -P -m sightline serve {repository} --port $PORT"
        command += ["--command", own, "--path", "/predict/clf"]
    environment = {**os.environ, "MODEL": arguments.model, **TUNING.get(arguments.model, {}).get(name, {})}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if not rows:
        print(f"{name}: {done.stderr.strip()[-300:]}", file=sys.stderr, flush=True)
    for row in rows:
        kind = f"{row['clients']} clients" if not row["target_rate"] else f"open {row['target_rate']:.0f}/s"
        print(
            f"{name} {kind}: {row['rate']:.1f}/s p50 {row['p50']} p99 {row['p99']} ms, "
            f"{row['http_errors'] + row['broken']} failed, {row['pss_mb']} MB, other cores {row['other_cores']}",
            file=sys.stderr,
            flush=True,
        )
    return rows


def summarise(rounds: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians over the rounds of one server."""
    measured = [rows for rows in rounds if rows]
    if not measured:
        return {}
    closed: dict[str, list[dict[str, Any]]] = {}
    for rows in measured:
        for row in rows[:-1]:
            closed.setdefault(str(row["clients"]), []).append(row)

    def middle(rows: list[dict[str, Any]], key: str) -> float:
        return round(statistics.median(row[key] for row in rows), 2)

    opened = [rows[-1] for rows in measured]
    everything = [row for rows in measured for row in rows]
    return {
        "closed": {clients: {key: middle(rows, key) for key in ("rate", "p50", "p99")} for clients, rows in closed.items()},
        "peak": max(middle(rows, "rate") for rows in closed.values()),
        "open_80": {key: middle(opened, key) for key in ("target_rate", "rate", "p50", "p99")},
        "failed": sum(row["http_errors"] + row["broken"] for row in everything),
        "pss_mb": max(row["pss_mb"] for row in everything),
        "startup_s": middle([rows[0] for rows in measured], "startup_s"),
        "other_cores": middle(everything, "other_cores"),
    }


def print_table(limit: float, servers: dict[str, dict[str, Any]], clients: list[str]) -> None:
    """A row a server, to read."""
    print(f"limit {limit:.1f} images/s")
    print(f"| server | {' | '.join(clients)} clients: images/s (p99 ms) | open loop p50 / p99 | failed | MB | start s |")
    for name, facts in servers.items():
        cells = [f"{point['rate']:.0f} ({point['p99']:.0f})" for point in facts["closed"].values()]
        opened = facts["open_80"]
        tail = f"{opened['p50']:.1f} / {opened['p99']:.1f} | {facts['failed']} | {facts['pss_mb']} | {facts['startup_s']}"
        print(f"| {name} | {' | '.join(cells)} | {tail} |", flush=True)


def judge_servers(model: str, limit: float, servers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Our targets."""
    own = servers["sightline"]
    loaded = [point["rate"] for clients, point in own["closed"].items() if int(clients) > 1]
    others = {name: facts for name, facts in servers.items() if name != "sightline"}
    targets: dict[str, tuple[float, str, float | None]] = {
        "share_of_limit": (SHARE_OF_LIMIT[model], ">=", round(min(loaded) / limit, 3)),
        "failed": (0, "<=", own["failed"]),
    }
    if others:
        best = max(facts["peak"] for facts in others.values())
        targets["over_best_peer"] = (1.0, ">=", round(own["peak"] / best, 3))
    if model in MOST_P99_MS:
        targets["open_p99_ms"] = (MOST_P99_MS[model], "<=", own["open_80"]["p99"])
    if "triton" in others:
        targets["open_p99_over_tritons"] = (1.0, "<=", round(own["open_80"]["p99"] / others["triton"]["open_80"]["p99"], 3))
    return judge(targets)


def main() -> None:
    arguments = make_peers_parser(__doc__, list(SHARE_OF_LIMIT), "1,16,64").parse_args()
    with tempfile.TemporaryDirectory(prefix="sightline-serving-") as temporary:
        repository = Path(temporary)
        add_model(repository, "clf", arguments.work / "models" / f"{arguments.model}_int8.xml")
        limits = [measure_limit(arguments)]
        names = ["sightline", *arguments.peers]
        rounds: dict[str, list[list[dict[str, Any]]]] = {name: [] for name in names}
        for _ in range(arguments.rounds):
            for name in names:
                rounds[name].append(measure_server(arguments, name, repository))
            limits.append(measure_limit(arguments))
    limit = {kind: round(statistics.median(one[kind] for one in limits), 1) for kind in limits[0]}
    servers = {name: facts for name, measured in rounds.items() if (facts := summarise(measured))}
    print_table(limit["peers"], servers, arguments.clients.split(","))
    print_result(
        "serving_peers",
        model=arguments.model,
        data="299 pictures of imagenet-sample",
        limit=limit,
        servers=servers,
        targets=judge_servers(arguments.model, limit["peers"], servers),
    )


if __name__ == "__main__":
    run_main(main)
