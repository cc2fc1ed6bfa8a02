"""What a load measurement says, as typed records: `load.json` is `LoadContent`, a `LoadPoint` is one line of its table.

A point is either a closed loop (so many clients, each sends its next request when its last answer came, or 50 ms after it was
refused or cut off) or an open loop (requests arrive at a rate, whether or not answers come). Only the open loop shows what
users of an overloaded server feel.
"""

from typing import Any, Literal

import msgspec

Protocol = Literal["predict", "v2"]
REFUSED = (429, 503)  # the server said "not now": no fault, and no answer either
BROKEN = 0  # stands where a status would: the connection ended before the answer was whole


class LoadPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How load was made.

    Attributes:
        clients: closed loops, one after the other.
        rates: open loops after them: requests a second, or as a share of the best closed loop, "80%".
        duration_s, warm_up_s: of each point; what happens in the warm-up does not count.
        drain_s: how long answers are waited for after a point's end; what is missing then counts as unfinished.
        max_in_flight: of open loops; further requests wait in the generator, and their latency runs.
        processes: that make the load.
    """

    clients: tuple[int, ...] = ()
    rates: tuple[str, ...] = ()
    duration_s: float = 8.0
    warm_up_s: float = 1.5
    drain_s: float = 10.0
    max_in_flight: int = 256
    processes: int = 1


class LatencyMs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How latencies scatter, milliseconds, linearly interpolated; `p999` is None below 1000 answers, too few to know it."""

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float | None
    maximum: float


class Moment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers to the requests planned in a short stretch from `at_s` after the point's start; None where there were none."""

    at_s: float
    planned: int
    p50_ms: float | None
    max_ms: float | None


class ServerCost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the server's processes used while a point was measured.

    Attributes:
        processes: the server and all its children.
        cpu_s, cores: CPU seconds, and these by the point's duration.
        memory_kind: "pss" counts shared pages by share, "rss" counts them whole.
        memory_before_bytes, memory_after_bytes: at the start and the end of the point.
    """

    processes: int
    cpu_s: float
    cores: float
    memory_kind: Literal["pss", "rss"]
    memory_before_bytes: int
    memory_after_bytes: int


class GeneratorCost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What making the load used, and whether that spoilt the point.

    Attributes:
        cores: CPU seconds by wall seconds, all generator processes.
        us_per_request: CPU microseconds by requests that ended.
        late_p99_ms: how late the generator noticed that a request was due, 99th percentile; None in a closed loop.
        limited_by: why the numbers may be the generator's and not the server's; empty where they are the server's.
    """

    processes: int
    cores: float
    us_per_request: float | None
    late_p99_ms: float | None
    limited_by: tuple[str, ...] = ()


class LoadPoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One load and what came of it.

    Attributes:
        clients, rate_per_s: one of them is given: a closed loop's connections, or the arrivals a second asked of an open loop.
        offered_per_s: of an open loop, the arrivals that its Poisson process came to; None in a closed one.
        planned: requests planned in the measured time; in an open loop by the clock, in a closed one by the answers, and there
            those that were on their way for all of it, too.
        answered_per_s: answers with status 2xx a second that came in the measured time.
        statuses: answers by HTTP status to the planned requests.
        refused, broken, unfinished: with status 429 or 503; cut off before the answer was whole; without answer after the
            drain.
        answered: latency of the 2xx answers, from the planned moment to the last byte.
        outcome: the same, with unfinished requests at the time waited so far (a lower bound); a refusal is no outcome.
        refusal: latency of refusals.
        quantiles_ms: of `outcome`, at `QUANTILES`.
        max_backlog: requests at most that were due while every connection was taken.
        generator_limited: the point does not count, `generator.limited_by` says why.
    """

    clients: int | None
    rate_per_s: float | None
    offered_per_s: float | None
    duration_s: float
    planned: int
    answered_per_s: float
    statuses: dict[str, int]
    refused: int
    broken: int
    unfinished: int
    answered: LatencyMs | None
    outcome: LatencyMs | None
    refusal: LatencyMs | None
    quantiles_ms: tuple[float, ...]
    timeline: tuple[Moment, ...]
    max_backlog: int
    connections_opened: int
    sent_bytes: int
    received_bytes: int
    generator: GeneratorCost
    generator_limited: bool
    server: ServerCost | None
    other_cores: float | None
    error_samples: dict[str, str] = {}

    @property
    def label(self) -> str:
        """The load in words."""
        if self.clients is not None:
            return f"{self.clients} client{'' if self.clients == 1 else 's'}"
        assert self.rate_per_s is not None
        return f"{self.rate_per_s:.4g}/s" if self.rate_per_s < 1000 else f"{self.rate_per_s:.0f}/s"


QUANTILES = (*(step / 100 for step in range(100)), *(0.99 + step / 1000 for step in range(1, 10)), 1.0)


class PictureFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which pictures were sent, in a seeded order, again and again.

    Attributes:
        source, version: a dataset's name and id, or a folder's name and None.
        pictures: that were sent; `available` of the source.
        mean_bytes, median_bytes, largest_bytes: of the encoded pictures.
    """

    source: str
    version: str | None
    split: str | None
    pictures: int
    available: int
    mean_bytes: int
    median_bytes: int
    largest_bytes: int


class LoadContent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything `load.json` holds.

    Attributes:
        server: what `GET /v2` answers: name, version, extensions; None where it is not spoken.
        model_facts: what `GET /v2/models/NAME` and `GET /deployments/NAME` answer.
    """

    format_version: int = 1
    name: str
    url: str
    protocol: Protocol
    server: dict[str, Any] | None
    model_facts: dict[str, Any]
    data: PictureFacts
    seed: int
    host: dict[str, Any]
    created_at: str
    plan: LoadPlan
    points: tuple[LoadPoint, ...]
    notes: tuple[str, ...] = ()


class GeneratorJob(msgspec.Struct, frozen=True, kw_only=True):
    """What one generator process has to do.

    Attributes:
        host, port: numeric address of the server.
        pack: file of requests, ready to send, one after the other; `sizes` are their lengths.
        first: place of the request to begin with.
        clients, rate_per_s: one of them: connections of a closed loop, or arrivals a second.
        result: file to write the `GeneratorResult` into.
    """

    host: str
    port: int
    pack: str
    sizes: tuple[int, ...]
    result: str
    duration_s: float
    warm_up_s: float
    drain_s: float
    max_in_flight: int
    seed: int
    first: int = 0
    clients: int | None = None
    rate_per_s: float | None = None


class GeneratorResult(msgspec.Struct, kw_only=True):
    """What one generator process saw; the three lists have a place per counted request that ended.

    Attributes:
        planned_s: since the measured time began; 0 for a closed loop's request that was on its way for all of it.
        latency_ms: from the planned moment to the last byte of the answer.
        status: HTTP status, or `BROKEN`.
        unfinished_s: planned moments of requests without an end.
        unfinished_ms: how long these had waited when they were given up.
        late_ms: how late the generator noticed each planned moment; empty in a closed loop, as the next two are.
        waited_ms: from each planned moment to the beginning of its sending, or to the end where it was never sent.
        served_ms: from the beginning of its sending to the end of each answer of status 2xx, or to the point's where none came.
        ended_in_time: ends within the measured time, by status, whenever their requests were planned.
        samples: the beginning of the first body of each status that is no success.
        shortages: errno of why this machine had no further connection -> most connections that were open then.
    """

    planned_s: list[float] = []
    latency_ms: list[float] = []
    status: list[int] = []
    unfinished_s: list[float] = []
    unfinished_ms: list[float] = []
    late_ms: list[float] = []
    waited_ms: list[float] = []
    served_ms: list[float] = []
    ended_in_time: dict[int, int] = {}
    samples: dict[int, str] = {}
    shortages: dict[int, int] = {}
    max_backlog: int = 0
    connections_opened: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
