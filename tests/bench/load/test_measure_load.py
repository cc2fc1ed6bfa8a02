"""Whole measurements through generator processes, and what is kept of them."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import msgspec
import numpy as np
import psutil
import pytest
from rich.console import Console
from scripted_server import Asked, ScriptedServer, serve_script, write_answer

from sightline.bench.load import measure
from sightline.bench.load.measure import check_plan, compute_rate, is_local, measure_load
from sightline.bench.load.pages import list_model_facts, render_load, save_load
from sightline.bench.load.plots import draw_load_plots
from sightline.bench.load.records import LoadContent, LoadPlan, LoadPoint, PictureFacts
from sightline.bench.load.summaries import compute_latency
from sightline.bench.load.tables import build_load_table, describe_load, format_latency, list_warnings
from sightline.bench.load.target import Target
from sightline.core.errors import Conflict, Exhausted, InvalidInput, NotFound
from sightline.core.percentiles import FEW_MEANING
from sightline.core.progress import ProgressEvent

PICTURES = [b"a" * 100, b"b" * 5000]
FACTS = PictureFacts(
    source="set", version=None, split=None, pictures=2, available=2, mean_bytes=2550, median_bytes=2550, largest_bytes=5000
)
METADATA = {"name": "m", "platform": "onnx", "inputs": [{"name": "i", "datatype": "BYTES", "shape": [-1]}], "outputs": []}


def answer(asked: Asked) -> bytes:
    if asked.path == "/v2":
        return write_answer(200, b'{"name":"other","version":"7","extensions":["<script>"]}')
    if asked.path == "/v2/models/m":
        return write_answer(200, json.dumps(METADATA).encode())
    if asked.method != "POST":
        return write_answer(404)
    AT_ONCE.begin()
    threading.Event().wait(0.01)
    AT_ONCE.end()
    return write_answer(503, b"<b>full</b>") if asked.number % 5 == 0 else write_answer()


class AtOnce:
    """How many pictures the server had at once, at most, before each point of the plan and after the last."""

    def __init__(self) -> None:
        self.most: list[int] = []
        self._lock = threading.Lock()
        self._now = self._most_now = 0

    def begin(self) -> None:
        with self._lock:
            self._now += 1
            self._most_now = max(self._now, self._most_now)

    def end(self) -> None:
        with self._lock:
            self._now -= 1

    def note(self, event: ProgressEvent) -> None:
        with self._lock:
            self.most.append(self._most_now)
            self._most_now = 0


AT_ONCE = AtOnce()


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with serve_script(answer) as running:
        yield running


@pytest.fixture(scope="module")
def content(server: ScriptedServer) -> LoadContent:
    plan = LoadPlan(clients=(1, 4), rates=("50%", "80"), duration_s=1.2, warm_up_s=0.1, processes=2)
    return measure_load(server.url, "m", PICTURES, FACTS, plan=plan, protocol="v2", seed=3, on_progress=AT_ONCE.note)


def test_closed_loops_come_first_and_shares_are_of_the_best_of_them(content: LoadContent) -> None:
    one, four, half, eighty = content.points
    assert (one.clients, four.clients) == (1, 4)
    assert one.answered is not None and one.answered.p50 >= 10.0
    assert one.answered.p50 * one.answered.count / 2 < (1.2 + content.plan.drain_s) * 1e3  # one waits for one answer at a time
    _, most_of_one, most_of_four, _, _ = AT_ONCE.most
    assert most_of_one == 1 < most_of_four <= 4
    assert one.connections_opened == 1 and four.connections_opened == 4
    expected = 0.5 * max(one.answered_per_s, four.answered_per_s) * 1.2  # four's, unless this machine slept meanwhile
    assert half.planned == pytest.approx(expected, abs=5 * expected**0.5)
    assert eighty.planned == pytest.approx(96, abs=5 * 96**0.5)
    assert (one.generator.processes, four.generator.processes) == (1, 2)  # one client cannot be shared


def test_every_request_is_accounted_for(content: LoadContent) -> None:
    for point in content.points:
        answered = point.answered.count if point.answered else 0
        assert point.planned == answered + point.refused + point.broken + point.unfinished
        assert point.refused == point.statuses.get("503", 0)
        assert (point.refusal.count if point.refusal is not None else 0) == point.refused
        assert sum(moment.planned for moment in point.timeline) == answered + point.unfinished
        assert point.sent_bytes > 100 and point.received_bytes > 40
        assert point.generator.us_per_request is not None and point.generator.us_per_request > 0
    assert content.points[1].refused > 0
    assert content.points[1].error_samples == {"503": "<b>full</b>"}


def test_the_server_is_described_and_its_cost_known(content: LoadContent) -> None:
    assert content.server == {"name": "other", "version": "7", "extensions": ["<script>"]}
    assert content.model_facts == METADATA
    assert content.host["cpu"] and content.seed == 3
    for point in content.points:
        assert point.server is not None and point.server.memory_kind == "pss" and point.server.memory_after_bytes > 1e7


def test_both_pictures_were_sent_as_v2(content: LoadContent, server: ScriptedServer) -> None:
    bodies = {asked.body[int(asked.headers["inference-header-content-length"]) + 4 :] for asked in server.asked if asked.body}
    assert bodies == set(PICTURES)


def test_what_is_kept_can_be_read_back_and_shows_plots(content: LoadContent, tmp_path: Path) -> None:
    page = save_load(content, tmp_path / "load")
    assert msgspec.json.decode((tmp_path / "load" / "load.json").read_bytes(), type=LoadContent) == content
    text = page.read_text()
    assert "<script>" not in text and "&lt;b&gt;full" in text
    assert "src=" not in text and "http-equiv" not in text  # it needs nothing else
    pngs = sorted(path.name for path in (tmp_path / "load" / "plots").iterdir())
    kinds = ("latency_clients", "latency_distribution", "latency_time_1", "latency_time_2", "throughput")
    assert pngs == [f"{kind}.png" for kind in kinds]
    for name in pngs:
        image = cv2.imread(str(tmp_path / "load" / "plots" / name))
        assert image is not None and image.std() > 5
    with pytest.raises(Conflict):
        save_load(content, tmp_path / "load")


def show(content: LoadContent, width: int) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        console.print(build_load_table(content))
    return captured.get()


def test_no_number_is_cut_in_a_narrow_terminal(content: LoadContent) -> None:
    """80 characters hold a point of many digits in one line; in 60 what does not fit goes on in the next line."""
    point = msgspec.structs.replace(content.points[1], answered_per_s=12345.6, refused=12345, planned=99999)
    text = show(msgspec.structs.replace(content, points=(point,)), 80)
    latency = format_latency(point)
    assert any(line.split() == [*latency[0].split(), *latency[1:]] for line in text.splitlines())
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "…" not in text + show(content, 60)


def test_the_table_has_a_line_a_point_and_says_what_went_wrong(content: LoadContent) -> None:
    text = show(content, 200)
    for point in content.points:
        assert f"{point.answered_per_s:.1f}" in text
    assert "4 clients: HTTP 503, for example: <b>full</b>" in text


def test_a_point_the_generator_spoilt_is_marked_and_is_not_the_best(content: LoadContent) -> None:
    best = content.points[1]
    spoilt = msgspec.structs.replace(
        best,
        generator_limited=True,
        generator=msgspec.structs.replace(best.generator, limited_by=("it was slow",)),
    )
    changed = msgspec.structs.replace(content, points=(content.points[0], spoilt))
    page = render_load(changed, draw_load_plots(changed))
    assert "4 clients !" in page and "it was slow" in page
    tile = page[page.index("most answers") :]
    assert "1 client<" in tile[:300]


def test_percentiles_of_too_few_answers_are_marked(content: LoadContent) -> None:
    outcome = compute_latency(np.linspace(1.0, 9.0, 99))
    few = msgspec.structs.replace(content.points[0], outcome=outcome, answered=outcome, refusal=None)
    changed = msgspec.structs.replace(content, points=(few,))
    assert format_latency(few)[2:9] == ["5.00", "8.20", "8.60", "8.92*", "–", "9.00", "5.00"]
    assert FEW_MEANING.split()[-1] in show(changed, 200)
    plots = draw_load_plots(changed)
    page = render_load(changed, plots)
    assert "p99 8.9 ms*" in page and FEW_MEANING in page
    assert [text in plot.svg for plot in plots for text in ("too few for a p99", "read from too few")].count(True) == 2
    outcome = compute_latency(np.linspace(1.0, 9.0, 1000))
    enough = msgspec.structs.replace(few, outcome=outcome, answered=outcome, planned=1000)
    changed = msgspec.structs.replace(content, points=(enough,))
    assert "*" not in "".join(format_latency(enough)) and FEW_MEANING not in render_load(changed, draw_load_plots(changed))


def test_a_point_shorter_than_every_answer_is_told(content: LoadContent) -> None:
    slow = msgspec.structs.replace(content.points[0], quantiles_ms=(1200.1, 1300.0))
    late = msgspec.structs.replace(content.points[2], quantiles_ms=slow.quantiles_ms)  # an open loop may lag for other reasons
    changed = msgspec.structs.replace(content, points=(slow, content.points[1], late))
    (line,) = [line for line in list_warnings(changed) if "began and ended" in line]
    assert line == "1 client: no request both began and ended in the 1.2 s measured; make the points longer"


def test_pages_without_numbers_are_made_too(content: LoadContent) -> None:
    nothing = msgspec.structs.replace(
        content.points[0], answered=None, outcome=None, quantiles_ms=(), server=None, answered_per_s=0.0, statuses={}
    )
    changed = msgspec.structs.replace(content, points=(nothing,), server=None, model_facts={})
    assert "under load" in render_load(changed, draw_load_plots(changed))


def test_the_page_tells_what_a_server_says_of_a_model_in_words(content: LoadContent) -> None:
    facts = {
        "name": "parts",
        "task": "detection",
        "categories": ["a", "b"],
        "engine": "openvino",
        "platform": "openvino",
        "model_id": "abc",
        "deployed_at": "2026-01-02",
        "is_resident": True,
        "memory_bytes": 12_345_678,
        "threads": 2,
        "failed_version": None,
        "detail": "",
        "page_in_count": 0,
        "last_page_in_s": 0.25,
        "decode": {"head": "x"},
        "input_width": 320,
        "inputs": [{"name": "i", "datatype": "FP32", "shape": [1]}],
        "versions": [1, 2],
    }
    changed = msgspec.structs.replace(content, model_facts=facts)
    assert list_model_facts(changed) == [
        ("name", "parts"),
        ("task", "detection"),
        ("categories", "2"),
        ("engine", "openvino"),
        ("of Model", "abc"),
        ("deployed at", "2026-01-02"),
        ("in memory", "yes"),
        ("memory", "12 MB"),
        ("threads", "2"),
        ("times read back into memory", "0"),
        ("the last time took", "0.25 s"),
        ("input width", "320"),
        ("inputs", "i FP32 [1]"),
    ]
    page = render_load(changed, draw_load_plots(changed))
    assert "memory_bytes" not in page and "<dt>memory</dt><dd>12 MB</dd>" in page
    assert describe_load(changed)[0].endswith(" · detection · openvino")


def test_a_wrong_name_is_told_before_anything_is_measured(server: ScriptedServer) -> None:
    asked = len(server.asked)
    with pytest.raises(InvalidInput, match="`protocol` predict"):
        measure_load(server.url, "absent", PICTURES, FACTS, protocol="v2")
    with serve_script(lambda _: write_answer(404, b"no model")) as other, pytest.raises(NotFound, match="no model"):
        measure_load(other.url, "m", PICTURES, FACTS)
    with pytest.raises(Exhausted, match="sightline serve"):
        measure_load("http://127.0.0.1:9", "m", PICTURES, FACTS)
    assert len(server.asked) < asked + 10


@pytest.mark.parametrize(
    "plan",
    [
        LoadPlan(),
        LoadPlan(clients=(0,)),
        LoadPlan(rates=("80%",)),
        LoadPlan(rates=("fast",)),
        LoadPlan(rates=("-1",)),
        LoadPlan(rates=("nan",)),
        LoadPlan(rates=("inf",)),
        LoadPlan(clients=(1,), duration_s=0.0),
        LoadPlan(clients=(1,), processes=0),
    ],
)
def test_plans_that_cannot_be_are_refused(plan: LoadPlan) -> None:
    with pytest.raises(InvalidInput):
        check_plan(plan, PICTURES)
    with pytest.raises(InvalidInput, match="0 bytes"):
        check_plan(LoadPlan(clients=(1,)), [b""])


def test_rates_are_numbers_or_shares() -> None:
    assert compute_rate("120.5", None) == 120.5
    assert compute_rate("80%", 200.0) == pytest.approx(160.0)


def test_more_requests_than_generators_have_room_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = LoadPlan(rates=("500000",), duration_s=8.0, warm_up_s=2.0)  # 5 million
    check_plan(plan, PICTURES)
    too_many = msgspec.structs.replace(plan, rates=("80", "500001"))
    with pytest.raises(InvalidInput, match=r"at most 500000 requests a second.*got 500001; lower the rate"):
        check_plan(too_many, PICTURES)
    check_plan(msgspec.structs.replace(too_many, processes=2), PICTURES)
    best = SimpleNamespace(clients=1, answered_per_s=50.0, answered=None)
    monkeypatch.setattr(measure, "measure_point", lambda *_: best)
    with serve_script(lambda _: write_answer()) as server, pytest.raises(InvalidInput, match="raise `processes`"):
        plan = LoadPlan(clients=(1,), rates=("900000000%",), duration_s=0.1, warm_up_s=0.0)
        measure_load(server.url, "m", PICTURES, FACTS, plan=plan)


def test_a_seed_gives_the_same_arrivals() -> None:
    gaps = []
    for seed in (5, 5, 6):
        with serve_script(lambda _: write_answer()) as server:
            plan = LoadPlan(rates=("100",), duration_s=0.3, warm_up_s=0.0)
            content = measure_load(server.url, "m", PICTURES, FACTS, plan=plan, seed=seed)
        gaps.append(content.points[0].planned)
    assert gaps[0] == gaps[1]
    assert np.isfinite(gaps).all()


def test_every_address_of_this_machine_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    own = [(socket.AF_INET, "192.0.2.5"), (socket.AF_INET6, "fe80::1%eth0"), (psutil.AF_LINK, "00:00:5e:00:53:01")]
    cards = [SimpleNamespace(family=family, address=address) for family, address in own]
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"eth0": cards})
    for host in ("127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "192.0.2.5", "fe80::1%eth0"):
        assert is_local(Target(url="", name="", host=host, port=80)), host
    for host in ("192.0.2.6", "fe80::2%eth0", "2001:db8::1"):
        assert not is_local(Target(url="", name="", host=host, port=80)), host


def test_a_server_whose_process_is_named_shares_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = []

    def note_shared(*given: Any) -> list[LoadPoint]:
        shared.append(given[4])
        return []

    monkeypatch.setattr(measure, "is_local", lambda target: False)
    monkeypatch.setattr(measure, "measure_points", note_shared)
    with serve_script(lambda _: write_answer()) as server:
        measure_load(server.url, "m", PICTURES, FACTS, server_pid=os.getpid())
        measure_load(server.url, "m", PICTURES, FACTS)
    assert shared == [True, False]
