"""The host with real engines, the real scheduler and its threads: what answers must be right, whatever comes and goes."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from factor_graphs import write_factor, write_factor_ir
from onnx import helper
from pipeline_graphs import save, write_brightest_channel
from repository_fakes import WaitingHost, write_configuration

from sightline.core.errors import InvalidInput
from sightline.imaging.heads.decoding import decode_outputs
from sightline.runtime.backends.openvino import OpenVinoSession
from sightline.runtime.plan_store import open_plan_folder
from sightline.serving.inference.calls import Call, Inferred, ServedFacts
from sightline.serving.inference.served_model import ServedModel
from sightline.serving.inference.service import InferenceService
from sightline.serving.inference.source import ModelSource
from sightline.serving.scheduling.device_threads import DeviceThreads
from sightline.serving.scheduling.scheduler import Scheduler

SLOTS = 2


@contextmanager
def serve(repository: Path, memory_budget_bytes: int | None = None) -> Iterator[tuple[InferenceService, WaitingHost]]:
    scheduler = Scheduler(SLOTS)
    threads = DeviceThreads(scheduler)
    threads.start()
    host = WaitingHost(
        repository,
        lambda source: ServedModel(source, SLOTS, max_pixels=1000),
        scheduler,
        cores=SLOTS,
        check_every_s=0.05,
        memory_budget_bytes=memory_budget_bytes,
        read_memory=lambda: 0,  # the sizes of the files are the same each time
    )
    try:
        host.start()
        yield InferenceService(host, scheduler), host
    finally:
        host.close()
        assert threads.close(20)


async def ask(service: InferenceService, name: str) -> float:
    """The factor that answers, from one request."""
    x = np.arange(1, 5, dtype=np.float32)[None]  # (1, 4)
    call = Call(model=name, tensors={"x": x}, write_answer=lambda facts, inferred: np.array(inferred.outputs["y"]))
    y = await service.infer(call)
    factors = y / x
    assert np.all(factors == factors[0, 0])
    return float(factors[0, 0])


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_two_models_that_do_not_fit_together_both_answer_right(tmp_path: Path, engine: str) -> None:
    write_factor(tmp_path, "double", 1, 2, engine)
    write_factor(tmp_path, "triple", 1, 3, engine)
    with serve(tmp_path) as (_, host):
        sizes = [state.memory_bytes for state in host.list_loaded()]

    async def alternate(service: InferenceService) -> None:
        for _ in range(6):
            assert await ask(service, "double") == 2
            assert await ask(service, "triple") == 3
        assert await asyncio.gather(*(ask(service, name) for name in ["double", "triple"] * 8)) == [2, 3] * 8

    with serve(tmp_path, memory_budget_bytes=max(sizes)) as (service, host):
        asyncio.run(alternate(service))
        states = host.list_loaded()
        assert sum(state.is_resident for state in states) <= 1
        assert all(state.page_in_count >= 6 and state.last_page_in_s is not None for state in states)


def test_what_was_compiled_once_is_opened_at_a_page_in_and_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []
    compile_plan = OpenVinoSession._compile
    monkeypatch.setattr(OpenVinoSession, "_compile", lambda self, *how: compiled.append(how) or compile_plan(self, *how))
    graph = write_factor_ir(tmp_path / "repository", "double", 1, 2)
    source = ModelSource(name="double", version=1, graph=graph, engine="openvino", precision="fp32", streams=2, threads=1)
    for restart in range(2):
        model = ServedModel(source, 2, max_pixels=1000, plan_folder=open_plan_folder(tmp_path / "cache"))
        for page_in in range(2):
            model.open()
            model.warm_up()
            assert model.run_tensors({"x": np.ones((1, 4), np.float32)})["y"].tolist() == [[2, 2, 2, 2]]
            model.page_out()
            if restart == page_in == 0:
                first = len(compiled)
    assert 0 < first == len(compiled)


def test_versions_are_swapped_under_load_without_one_wrong_or_failed_answer(tmp_path: Path) -> None:
    write_factor(tmp_path, "factor", 1, 1)

    async def client(service: InferenceService, stop: asyncio.Event, seen: list[float]) -> None:
        while not stop.is_set():
            seen.append(await ask(service, "factor"))
        seen.append(await ask(service, "factor"))  # the one before may have begun before the last version was there

    async def swap(service: InferenceService, host: WaitingHost) -> list[list[float]]:
        stop, seen = asyncio.Event(), [list[float]() for _ in range(4)]
        clients = [asyncio.create_task(client(service, stop, one)) for one in seen]
        for version in range(2, 12):
            await asyncio.to_thread(write_factor, tmp_path, "factor", version, version)
            await asyncio.to_thread(host.reload, "factor")
            assert await ask(service, "factor") == version
        stop.set()
        await asyncio.gather(*clients)
        return seen

    with serve(tmp_path) as (service, host):
        for factors in asyncio.run(swap(service, host)):
            assert factors == sorted(factors)  # nobody was sent back to an older version
            assert set(factors) <= set(range(1, 12)) and factors[-1] == 11
        assert host.list_versions("factor") == [11]


def test_a_half_copied_graph_keeps_the_old_version(tmp_path: Path) -> None:
    write_factor(tmp_path, "factor", 1, 1)
    with serve(tmp_path) as (service, host):
        whole = (tmp_path / "factor" / "1" / "model.onnx").read_bytes()
        (tmp_path / "factor" / "2").mkdir()
        (tmp_path / "factor" / "2" / "model.onnx").write_bytes(whole[: len(whole) // 2])
        host.reload("factor")
        assert asyncio.run(ask(service, "factor")) == 1
        bad = next(state for state in host.index() if state.version == 2)
        assert bad.state == "UNAVAILABLE" and bad.reason and str(tmp_path) not in bad.reason
        (tmp_path / "factor" / "2" / "model.onnx").write_bytes(whole)
        host.reload("factor")
        assert host.list_versions("factor") == [2]


def test_a_graph_with_other_tensors_than_expected_is_refused_by_the_real_engine(tmp_path: Path) -> None:
    write_factor(tmp_path, "factor", 1, 1)
    write_configuration(tmp_path, "factor", {"backend": "onnxruntime", "input": [{"name": "x", "dims": [5]}]})
    scheduler = Scheduler(1)
    host = WaitingHost(tmp_path, lambda source: ServedModel(source, 1, max_pixels=1000), scheduler, mode="explicit")
    try:
        with pytest.raises(InvalidInput, match=r"input x: expected dims \[4\] as the graph, got \[5\]"):
            host.load("factor")
    finally:
        host.close()


def test_a_version_or_configuration_that_decodes_nothing_leaves_the_old_one_answering(tmp_path: Path) -> None:
    own = {
        "task": "classification",
        "input": {"name": "images", "width": 8, "height": 8},
        "decode": {"head": "softmax", "outputs": ["logits"]},
        "categories": ["red", "green", "blue"],
        "engine": "onnxruntime",
    }
    write_brightest_channel(tmp_path / "colours" / "1" / "model.onnx")
    write_configuration(tmp_path, "colours", {"sightline": own})

    async def ask_picture(service: InferenceService) -> str:
        call = Call(model="colours", images=(np.zeros((8, 8, 3), np.uint8),), write_answer=tell_category)
        return str(await service.infer(call))

    def tell_category(facts: ServedFacts, inferred: Inferred) -> str:
        assert facts.decode is not None
        ((best, *_),) = decode_outputs(facts.decode, inferred.outputs, inferred.placements, facts.table)
        return best.category

    def find_reasons(host: WaitingHost) -> list[str]:
        return [state.reason for state in host.index() if state.reason]

    with serve(tmp_path) as (service, host):
        one_class = [helper.make_node("ReduceMean", ["images"], ["logits"], axes=[1, 2, 3])]
        graph = tmp_path / "colours" / "2" / "model.onnx"
        save(graph, one_class, {"images": ["N", 3, 8, 8]}, {"logits": ["N", 1, 1, 1]})
        host.reload("colours")
        assert host.list_versions("colours") == [1] and asyncio.run(ask_picture(service)) == "red"
        (reason,) = find_reasons(host)
        assert "the head softmax does not fit the graph" in reason and "C = 3 categories" in reason
        shutil.rmtree(tmp_path / "colours" / "2")
        for changes in ({"decode": {"head": "yolo", "outputs": ["logits"]}, "task": None}, {"categories": ["a", "b"]}):
            write_configuration(tmp_path, "colours", {"sightline": own | changes})
            host.reload("colours")
            assert host.list_versions("colours") == [1] and asyncio.run(ask_picture(service)) == "red"
            assert "does not fit the graph" in find_reasons(host)[0]
        write_configuration(tmp_path, "colours", {"sightline": own | {"categories": ["r", "g", "b"]}})
        host.reload("colours")
        assert asyncio.run(ask_picture(service)) == "r" and find_reasons(host) == []
