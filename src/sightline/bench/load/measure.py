"""Measure a server under load, point by point: closed loops first, then open loops at the rates asked for.

Before anything is timed one request is sent and has to be answered, so that a wrong URL costs a line and no minutes.
"""

import math
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import quote

import psutil

from sightline.bench.load.generators import Pack, run_generators, write_pack
from sightline.bench.load.records import LoadContent, LoadPlan, LoadPoint, PictureFacts, Protocol
from sightline.bench.load.server_watch import ServerReading, ServerWatch, compute_cost
from sightline.bench.load.summaries import summarise_point
from sightline.bench.load.target import Target, ask_for_facts, check_answers, find_target, write_picture_requests
from sightline.bench.process import LoadWatch
from sightline.core.errors import InvalidInput
from sightline.core.host import count_cores, describe_host, now_utc
from sightline.core.progress import OnProgress, ProgressEvent, ignore_progress

DEFAULT_PLAN = LoadPlan(clients=(1, 4, 16, 64))
MOST_PLANNED = 5_000_000  # of one generator process, which keeps some 300 bytes of each request


def measure_load(
    url: str,
    model: str,
    pictures: Sequence[bytes],
    data: PictureFacts,
    *,
    plan: LoadPlan = DEFAULT_PLAN,
    protocol: Protocol = "predict",
    api_key: str | None = None,
    seed: int = 0,
    server_pid: int | None = None,
    on_progress: OnProgress = ignore_progress,
) -> LoadContent:
    """Put load on a model of a server and measure it.

    Args:
        url: of the server, `http://HOST:PORT`.
        pictures: encoded, sent one a request, in this order, again and again.
        protocol: "predict" posts the bytes to `/predict/MODEL`; "v2" sends a binary BYTES tensor to `/v2/models/MODEL/infer`.
        seed: of the open loops' arrivals.
        server_pid: process of the server, which says that it shares this machine; None finds who listens on a port of it.

    Raises: NotFound, InvalidInput, Exhausted when the server does not answer about the first picture; Unsupported for https.
    """
    check_plan(plan, pictures)
    target = find_target(url, api_key)
    watch = ServerWatch.of_pid(server_pid) if server_pid is not None else find_watch(target)
    model_facts, server, notes = read_facts(target, model)
    requests = write_picture_requests(target, protocol, model, pictures, model_facts)
    check_answers(target, requests[0], model)
    if watch is None:
        notes.append("the server's CPU and memory are not known: it is another machine's or another user's")
    with write_pack(requests, target.host, target.port) as pack:
        shares_machine = server_pid is not None or is_local(target)
        points = measure_points(pack, plan, seed, watch, shares_machine, on_progress)
    if any(point.generator_limited for point in points):
        names = ", ".join(point.label for point in points if point.generator_limited)
        notes.append(f"not valid, the load generator was the limit: {names}")
    return LoadContent(
        name=model,
        url=target.url,
        protocol=protocol,
        server=server,
        model_facts=model_facts,
        data=data,
        seed=seed,
        host=describe_host(),
        created_at=now_utc(),
        plan=plan,
        points=tuple(points),
        notes=tuple(notes),
    )


def check_plan(plan: LoadPlan, pictures: Sequence[bytes]) -> None:
    """Refuse what cannot be measured. Raises: InvalidInput."""
    if not plan.clients and not plan.rates:
        raise InvalidInput("expected numbers of clients or rates, got neither; try `clients` 1,4,16,64")
    if min(plan.clients, default=1) < 1 or plan.processes < 1 or plan.max_in_flight < 1:
        raise InvalidInput(f"expected clients, processes and requests in flight above 0, got {plan}")
    if plan.duration_s <= 0 or plan.warm_up_s < 0 or plan.drain_s < 0:
        raise InvalidInput(f"expected a duration above 0 s, warm-up and drain of at least 0 s, got {plan}")
    if not pictures or not all(pictures):
        raise InvalidInput("expected at least one picture and none of 0 bytes; check the folder")
    for rate in plan.rates:
        if rate.endswith("%"):
            compute_rate(rate, 1.0 if plan.clients else None)
        else:
            check_planned(compute_rate(rate, None), plan)


def compute_rate(rate: str, best_per_s: float | None) -> float:
    """Requests a second of "200" or "80%" of the best closed loop. Raises: InvalidInput."""
    try:
        number = float(rate.removesuffix("%"))
    except ValueError:
        number = 0.0
    if not 0.0 < number < math.inf:
        raise InvalidInput(f"expected a rate as requests a second or as a share such as 80%, got {rate!r}")
    if not rate.endswith("%"):
        return number
    if best_per_s is None:
        raise InvalidInput(f"a rate of {rate} is a share of the best closed loop; give `clients` too, or requests a second")
    return number / 100 * best_per_s


def check_planned(rate_per_s: float, plan: LoadPlan) -> None:
    """Refuse more requests than generators have room for. Raises: InvalidInput."""
    most_per_s = MOST_PLANNED * plan.processes / (plan.warm_up_s + plan.duration_s)
    if rate_per_s > most_per_s:
        raise InvalidInput(
            f"expected a rate of at most {most_per_s:.0f} requests a second, {MOST_PLANNED} in all for each process, "
            f"got {rate_per_s:g}; lower the rate or `duration_s`, or raise `processes`"
        )


def measure_points(
    pack: Pack, plan: LoadPlan, seed: int, watch: ServerWatch | None, shares_machine: bool, on_progress: OnProgress
) -> list[LoadPoint]:
    """Every point of the plan in turn. Raises: InvalidInput for a share of a best closed loop without one answer."""
    points: list[LoadPoint] = []
    total = len(plan.clients) + len(plan.rates)
    for number in range(total):
        clients = plan.clients[number] if number < len(plan.clients) else None
        rate_per_s = None
        if clients is None:
            best = max((point.answered_per_s for point in points if point.clients is not None), default=None)
            rate_per_s = compute_rate(plan.rates[number - len(plan.clients)], best)
            if rate_per_s <= 0.0:
                raise InvalidInput("a rate is a share of the best closed loop, and that had no answers; look at its statuses")
            check_planned(rate_per_s, plan)
        left_s = (total - number) * (plan.duration_s + plan.warm_up_s)
        on_progress(ProgressEvent(stage="load", progress=number / total, remaining_s=left_s, metrics=describe_last(points)))
        points.append(measure_point(pack, plan, clients, rate_per_s, seed + number, watch, shares_machine))
    on_progress(ProgressEvent(stage="load", progress=1.0, metrics=describe_last(points)))
    return points


def measure_point(
    pack: Pack,
    plan: LoadPlan,
    clients: int | None,
    rate_per_s: float | None,
    seed: int,
    watch: ServerWatch | None,
    shares_machine: bool,
) -> LoadPoint:
    """One load: run the generators, and read the server's cost at both ends of the measured time."""
    readings: list[ServerReading | None] = []
    machine: list[LoadWatch] = []
    others: list[float | None] = []

    def read_costs(word: str) -> None:
        readings.append(watch.read() if watch is not None else None)
        if word == "measuring":
            machine.append(LoadWatch())
        else:
            others.append(machine[0].close().other_cores)

    results = run_generators(pack, plan, clients=clients, rate_per_s=rate_per_s, seed=seed, on_mark=read_costs)
    server = compute_cost(*readings)
    other_cores = others[0]
    if other_cores is not None and server is not None:
        own = server.cores + sum(one.cpu_s / one.wall_s for one in results)
        other_cores = round(max(0.0, other_cores - own), 2)
    return summarise_point(
        results,
        plan,
        clients=clients,
        rate_per_s=rate_per_s,
        server=server,
        other_cores=other_cores if server is not None else None,
        cores_shared=count_cores() if shares_machine else None,
    )


def describe_last(points: Sequence[LoadPoint]) -> dict[str, float]:
    """Numbers of the last point, for progress."""
    if not points:
        return {}
    last = points[-1]
    return {"answers/s": last.answered_per_s} | ({"p99 ms": last.answered.p99} if last.answered else {})


def read_facts(target: Target, model: str) -> tuple[dict[str, Any], dict[str, Any] | None, list[str]]:
    """What the server says of the model and of itself, and notes on what it does not say."""
    name = quote(model, safe="")
    server = ask_for_facts(target, "/v2")
    served = ask_for_facts(target, f"/v2/models/{name}") or {}
    deployed = ask_for_facts(target, f"/deployments/{name}") or {}
    notes = []
    if server is None or "name" not in server:
        server = None
        notes.append("the server's name and version are not known: it does not answer GET /v2")
    if not served and not deployed:
        notes.append("nothing is known of the model: the server answers neither GET /v2/models/NAME nor GET /deployments/NAME")
    return deployed | served, server, notes


def find_watch(target: Target) -> ServerWatch | None:
    """Watch the server when it is a process of this machine and user."""
    return ServerWatch.of_listener(target.host, target.port) if is_local(target) else None


def is_local(target: Target) -> bool:
    """Whether the server's address is one of this machine's."""
    host = ip_address(target.host)
    return host.is_loopback or host.is_unspecified or host in list_own_addresses()


def list_own_addresses() -> set[IPv4Address | IPv6Address]:
    """The addresses of this machine's network interfaces."""
    found = (one for addresses in psutil.net_if_addrs().values() for one in addresses)
    return {ip_address(one.address) for one in found if one.family in (socket.AF_INET, socket.AF_INET6)}
