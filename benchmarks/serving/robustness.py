"""Rude clients beside polite ones, then a thousand malformed requests: who suffers, and whether the server still answers right.

    python benchmarks/serving/robustness.py WORK [--malformed ../shared/data/malformed] [--seconds 20] [--requests 1000]

Polite clients keep a connection and check every answer; rude ones hang up before, within or behind their request, half of
them by a reset. Malformed requests come one after the other, files of the corpus first, then those of `malformed_requests.py`.
Each has to be answered 4xx within a second; a changed picture that still decodes may be answered 200 and is counted apart.
The last line is one JSON object.
"""

import argparse
import contextlib
import http.client
import json
import random
import socket
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))
from malformed_requests import PREDICT, BadRequest, generate, list_corpus, write
from our_server import OurServer, add_model, read_json, read_pictures, serve

from harness import SHARED_DATA, judge, print_result, run_main
from sightline.bench.load.answers import AnswerReader
from sightline.core.errors import InvalidInput

MOST_S = 1.0  # until a bad request is answered
GIVE_UP_S = 15.0
CHECKED = 24  # pictures whose answers are known
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset
MOMENTS = ("connected", "within the head", "before the body", "within the body", "at once behind it", "a moment later")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--malformed", type=Path, default=SHARED_DATA / "malformed", help="corpus (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=1000, help="malformed ones, at least (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of polite beside rude clients (default: %(default)s)")
    parser.add_argument("--polite", type=int, default=48)
    parser.add_argument("--rude", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


class Place(NamedTuple):
    """Where the server listens."""

    host: str
    port: int


def find_place(server: OurServer) -> Place:
    """Where a server listens."""
    parts = urlsplit(server.url)
    assert parts.hostname is not None and parts.port is not None
    return Place(parts.hostname, parts.port)


def ask_politely(connection: http.client.HTTPConnection, picture: bytes) -> tuple[int, bytes]:
    """Status and body."""
    connection.request("POST", PREDICT, picture, {"Content-Type": "image/jpeg"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def read_truth(place: Place, pictures: list[bytes]) -> list[dict[str, Any]]:
    """The answers of a server that has nothing else to do."""
    connection = http.client.HTTPConnection(*place, timeout=GIVE_UP_S)
    truth = [strip_times(ask_politely(connection, picture)[1]) for picture in pictures]
    connection.close()
    return truth


def strip_times(body: bytes) -> dict[str, Any]:
    """What is the same in every answer about a picture."""
    return {field: value for field, value in json.loads(body).items() if field != "timing_ms"}


class Crowd:
    """Clients in threads until told to end. Attributes: outcomes: of the polite ones; hung_up: moments of the rude ones."""

    def __init__(self, place: Place, pictures: list[bytes], truth: list[dict[str, Any]], seed: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self.hung_up: Counter[str] = Counter()
        self._place, self._pictures, self._truth, self._seed = place, pictures, truth, seed
        self._has_ended = threading.Event()
        self._lock = threading.Lock()

    def run(self, polite: int, rude: int, seconds: float) -> None:
        """Let them all work for a while."""
        threads = [threading.Thread(target=self._be_polite, args=(number,)) for number in range(polite)]
        threads += [threading.Thread(target=self._be_rude, args=(number,)) for number in range(rude)]
        for thread in threads:
            thread.start()
        self._has_ended.wait(seconds)
        self._has_ended.set()
        for thread in threads:
            thread.join()

    def _be_polite(self, number: int) -> None:
        connection = http.client.HTTPConnection(*self._place, timeout=GIVE_UP_S)
        while not self._has_ended.is_set():
            number = (number + 1) % len(self._pictures)
            try:
                status, body = ask_politely(connection, self._pictures[number])
                outcome = f"HTTP {status}"
                if status == 200:
                    outcome = "right" if strip_times(body) == self._truth[number] else "wrong answer"
            except (OSError, http.client.HTTPException) as error:
                outcome = type(error).__name__
                connection.close()
            with self._lock:
                self.outcomes[outcome] += 1
        connection.close()

    def _be_rude(self, number: int) -> None:
        rng = random.Random(f"{self._seed} {number}")
        while not self._has_ended.is_set():
            moment = rng.choice(MOMENTS)
            try:
                hang_up(self._place, rng, rng.choice(self._pictures), moment)
            except OSError:
                moment = "cut off by the server"
            with self._lock:
                self.hung_up[moment] += 1


def hang_up(place: Place, rng: random.Random, picture: bytes, moment: str) -> None:
    """Send as much of a request as belongs to the moment, and close. Raises: OSError."""
    request = write(PREDICT, picture, ("Content-Type", "image/jpeg"))
    head = request.index(b"\r\n\r\n") + 4
    sent = {
        "connected": 0,
        "within the head": rng.randrange(1, head),
        "before the body": head,
        "within the body": rng.randrange(head, len(request)),
    }.get(moment, len(request))
    with socket.create_connection(place, GIVE_UP_S) as sock:
        if rng.random() < 0.5:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.sendall(request[:sent])
        if moment == "a moment later":
            time.sleep(rng.uniform(0.0, 0.1))


def send_bad(place: Place, request: BadRequest) -> tuple[int, float]:
    """Status of the first answer, 0 when the connection ended without one, and the seconds until then."""
    reader = AnswerReader()
    begun_s = time.perf_counter()
    with socket.create_connection(place, GIVE_UP_S) as sock:
        with contextlib.suppress(OSError):  # refused before it was read: the answer may have come all the same
            sock.sendall(request.content)
        try:
            while data := sock.recv(1 << 16):
                if reader.feed(data):
                    break
        except (OSError, InvalidInput):
            return 0, time.perf_counter() - begun_s
    return reader.status, time.perf_counter() - begun_s


def send_all_bad(place: Place, requests: list[BadRequest]) -> dict[str, Any]:
    """Counts by kind, and those that were not answered as they should be."""
    by_kind: dict[str, Counter[str]] = {}
    failures, slowest_s, fine = [], 0.0, 0
    for number, request in enumerate(requests):
        status, seconds = send_bad(place, request)
        by_kind.setdefault(request.kind, Counter())[str(status)] += 1
        is_fine = status == 200 and request.may_be_fine
        fine += is_fine
        slowest_s = max(slowest_s, seconds)
        if seconds > MOST_S or not (400 <= status < 500 or is_fine):
            failures.append({"number": number, "kind": request.kind, "status": status, "s": round(seconds, 2)})
            print(failures[-1], request.content[:200], file=sys.stderr, flush=True)
    kinds = {kind: dict(sorted(counts.items())) for kind, counts in by_kind.items()}
    return {
        "sent": len(requests),
        "still_decoded": fine,
        "slowest_s": round(slowest_s, 3),
        "kinds": kinds,
        "failures": failures,
    }


def main() -> None:
    arguments = read_arguments()
    pictures = read_pictures(arguments.work)[:CHECKED]
    with tempfile.TemporaryDirectory(prefix="sightline-serving-") as temporary:
        repository, log = Path(temporary, "repository"), Path(temporary, "log")
        add_model(repository, "clf", arguments.work / "models" / "mobilenet_v3_large_int8.xml")
        with serve(repository, log) as server:
            place = find_place(server)
            truth = read_truth(place, pictures)
            crowd = Crowd(place, pictures, truth, arguments.seed)
            crowd.run(arguments.polite, arguments.rude, arguments.seconds)
            print(dict(crowd.outcomes), dict(crowd.hung_up), file=sys.stderr, flush=True)
            corpus = list_corpus(arguments.malformed)
            tensor = read_json(f"{server.url}/v2/models/clf")["inputs"][0]
            generated = generate(pictures, tensor, max(0, arguments.requests - len(corpus)), arguments.seed)
            bad = send_all_bad(place, [*corpus, *generated])
            is_right = read_truth(place, pictures) == truth
        tracebacks = log.read_text(errors="replace").count("Traceback")
    impolite = sum(count for outcome, count in crowd.outcomes.items() if outcome != "right")
    targets: dict[str, tuple[float, str, float | None]] = {
        "polite_failures": (0, "<=", impolite),
        "polite_answers": (1, ">=", crowd.outcomes["right"]),
        "bad_sent": (arguments.requests, ">=", bad["sent"]),
        "bad_not_4xx_in_time": (0, "<=", len(bad["failures"])),
        "right_afterwards": (1, ">=", int(is_right)),
        "tracebacks": (0, "<=", tracebacks),
    }
    print_result(
        "serving_robustness",
        polite=dict(crowd.outcomes),
        rude=dict(crowd.hung_up),
        corpus=len(corpus),
        malformed=bad,
        targets=judge(targets),
    )


if __name__ == "__main__":
    run_main(main)
