"""Pipelines in a real repository: real host, scheduler and threads, real graphs."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipeline_fakes import read_annotations, upload
from pipeline_graphs import COLOURS, ZOO, paint_quadrants, write_brightest_channel, write_enlarger, write_quadrant_finder
from repository_fakes import WaitingHost
from whole_server import run_server

from sightline.core.errors import InvalidInput, SightlineError
from sightline.imaging.files.reading import encode_image
from sightline.serving.client.blocking import Client
from sightline.serving.inference.calls import Call
from sightline.serving.inference.served_model import ServedModel
from sightline.serving.inference.service import InferenceService
from sightline.serving.pipelines.declaration import parse_pipeline
from sightline.serving.pipelines.pipeline_model import PipelineModel
from sightline.serving.repository.folders import PipelineSource
from sightline.serving.scheduling.device_threads import DeviceThreads
from sightline.serving.scheduling.scheduler import Scheduler

FINDER = {
    "task": "detection",
    "categories": ["patch"],
    "engine": "onnxruntime",
    "input": {"name": "images", "width": 16, "height": 16, "resize": "stretch"},
    "decode": {"head": "scored_boxes", "outputs": ["scores", "boxes"], "parameters": {"normalised": False}},
}
SORTER = {
    "task": "classification",
    "categories": list(COLOURS),
    "engine": "onnxruntime",
    "input": {"name": "images", "width": 8, "height": 8, "resize": "stretch"},
    "decode": {"head": "softmax", "outputs": ["logits"]},
}
DRAWER = {
    "task": "image",
    "engine": "onnxruntime",
    "input": {"name": "images", "width": 1, "height": 1, "resize": "pad"},
    "decode": {"head": "picture", "outputs": ["drawn"], "parameters": {"range": [0, 1]}},
}


def add_model(
    repository: Path, name: str, write: Callable[[Path], Path], configuration: dict[str, Any], version: int = 1
) -> None:
    write(repository / name / str(version) / "model.onnx")
    (repository / name / "config.json").write_text(json.dumps({"sightline": configuration}))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    add_model(tmp_path, "finder", write_quadrant_finder, FINDER)
    add_model(tmp_path, "colours", write_brightest_channel, SORTER)
    add_model(tmp_path, "enlarger", write_enlarger, DRAWER)
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "pipeline.json").write_bytes(ZOO)
    return tmp_path


@contextmanager
def serve(repository: Path, **settings: Any) -> Iterator[InferenceService]:
    """A server without its protocols."""
    scheduler = Scheduler(2, express_slots=0)
    threads = DeviceThreads(scheduler)

    def open_pipeline(source: PipelineSource) -> PipelineModel:
        return PipelineModel(
            source.name, source.version, parse_pipeline(source.text.encode()), host, source.queue, max_pixels=1_000_000
        )

    host = WaitingHost(
        repository,
        lambda source: ServedModel(source, all_threads=2, max_pixels=1_000_000),
        scheduler,
        open_pipeline=open_pipeline,
        **{"check_every_s": 0.05, "mode": "none", **settings},
    )
    threads.start()
    try:
        host.start()
        yield InferenceService(host, scheduler)
    finally:
        host.close()
        assert threads.close(20)


async def ask(service: InferenceService, seed: int, model: str = "zoo") -> bool:
    """Whether a pipeline's answer for a painted picture is right."""
    image, expected = paint_quadrants(seed)
    (found,) = await service.infer(Call(model=model, write_answer=read_annotations, pictures=(upload(image),)))
    return {one.box_xyxy: one.attributes["colour"] for one in found} == expected


def test_a_pipeline_of_a_repository_answers_many_callers_at_once(repository: Path) -> None:
    async def ask_all(service: InferenceService) -> list[bool]:
        return await asyncio.gather(*(ask(service, seed) for seed in range(64)))

    with serve(repository) as service:
        assert all(asyncio.run(ask_all(service)))
        assert service.host.acquire("zoo").facts.categories == ("patch",)


def test_models_that_were_paged_out_come_back_for_a_pipeline(repository: Path) -> None:
    with serve(repository) as service:
        sizes = {name: service.host.acquire(name).memory_bytes for name in ("finder", "colours", "enlarger")}  # type: ignore[attr-defined]
    budget = sizes["finder"] + sizes["colours"] + sizes["enlarger"] - 1  # never all three
    image, _ = paint_quadrants(1)

    async def take_turns(service: InferenceService) -> list[bool]:
        answers = []
        for seed in range(4):
            call = Call(model="enlarger", write_answer=lambda facts, inferred: True, pictures=(upload(image),))
            answers += [await asyncio.wait_for(service.infer(call), 30), await asyncio.wait_for(ask(service, seed), 30)]
        return answers

    with serve(repository, memory_budget_bytes=budget, read_memory=lambda: 0) as service:
        assert asyncio.run(take_turns(service)) == [True] * 8
        page_ins = [state.page_in_count for state in service.host.list_loaded()]  # type: ignore[attr-defined]
        assert sum(page_ins) >= 2


def test_a_step_model_swapped_under_load_fails_no_request_of_the_pipeline(repository: Path) -> None:
    async def ask_while_swapping(service: InferenceService, host: WaitingHost) -> list[bool]:
        answers: list[bool] = []
        for version in (2, 3, 4):
            asked = [asyncio.create_task(ask(service, seed)) for seed in range(12)]
            await asyncio.to_thread(write_quadrant_finder, repository / "finder" / str(version) / "model.onnx")
            await asyncio.to_thread(host.load, "finder")
            answers += await asyncio.gather(*asked)
        return answers

    with serve(repository, mode="explicit", load_at_start=("*",)) as service:
        host = service.host
        assert isinstance(host, WaitingHost)
        assert asyncio.run(ask_while_swapping(service, host)) == [True] * 36
        assert host.list_versions("finder") == [4]


def test_a_pipeline_that_does_not_fit_is_refused_at_load_and_hides_no_other(repository: Path) -> None:
    (repository / "bad").mkdir()
    (repository / "bad" / "pipeline.json").write_bytes(ZOO.replace(b'"crop": {}', b'"crop": {"categories": ["wolf"]}'))
    with serve(repository, mode="explicit", load_at_start=("zoo",)) as service:
        host = service.host
        assert isinstance(host, WaitingHost)
        with pytest.raises(InvalidInput, match="step 'patches': category 'wolf' is not one that 'find' finds"):
            host.load("bad")
        assert asyncio.run(ask(service, 3))


def test_a_pipeline_whose_model_is_unloaded_says_which_step(repository: Path) -> None:
    (repository / "zoo" / "pipeline.json").write_bytes(ZOO.replace(b'"finder"', b'"lost"'))
    with serve(repository) as service:
        with pytest.raises(SightlineError, match="zoo"):
            service.host.acquire("zoo")
        reasons = [state.reason for state in service.host.list_loaded() if state.name == "zoo"]  # type: ignore[attr-defined]
        assert "step 'find': no model 'lost'" in reasons[0]


def read_state(host: WaitingHost, name: str) -> tuple[str, str]:
    (state,) = [state for state in host.index() if state.name == name]
    return state.state, state.reason


@pytest.mark.parametrize("mode", ["explicit", "poll"])
def test_a_pipeline_leaves_the_traffic_while_a_swapped_model_does_not_fit(repository: Path, mode: Any) -> None:
    unfit = "step 'colour': expected a model that sorts pictures (classification, multilabel) of crops, got 'colours' of raw"
    with serve(repository, mode=mode, load_at_start=("*",), check_every_s=3600.0) as service:
        host = service.host
        assert isinstance(host, WaitingHost)
        assert asyncio.run(ask(service, 3))
        (repository / "colours" / "config.json").rename(repository / "colours" / "kept")
        host.reload("colours")
        assert read_state(host, "zoo") == ("UNAVAILABLE", unfit)
        with pytest.raises(SightlineError, match="step 'colour': expected a model that sorts"):
            service.host.acquire("zoo")
        if mode == "explicit":
            with pytest.raises(InvalidInput, match="step 'colour': expected a model that sorts"):
                host.load("zoo")
        (repository / "colours" / "kept").rename(repository / "colours" / "config.json")
        host.reload("colours")
        assert read_state(host, "zoo") == ("READY", "")
        assert asyncio.run(ask(service, 3))


def test_pipelines_that_run_pipelines_are_told_so_whatever_order_they_are_found_in(repository: Path) -> None:
    for name, model in (("a_loop", "a_loop"), ("nest", "zoo"), ("nested", "bad"), ("bad", "lost")):
        (repository / name).mkdir()
        (repository / name / "pipeline.json").write_text(f'{{"steps": [{{"name": "s", "model": "{model}"}}]}}')
    with serve(repository) as service:
        host = service.host
        assert isinstance(host, WaitingHost)
        assert asyncio.run(ask(service, 3))
        reasons = {name: read_state(host, name)[1] for name in ("a_loop", "nest", "nested")}
        assert reasons == {
            "a_loop": "step 's': a pipeline cannot run itself; name a model",
            "nest": "step 's': 'zoo' is a pipeline itself; write its steps here",
            "nested": "step 's': 'bad' is a pipeline itself; write its steps here",
        }


def test_its_configuration_says_how_many_pictures_a_request_may_have(repository: Path) -> None:
    (repository / "zoo" / "config.json").write_text('{"max_batch_size": 2}')
    pictures = np.array([encode_image(np.zeros((16, 16, 3), np.uint8), "png")] * 3, object)
    with run_server(repository) as running, running.client() as http, Client(running.url) as client:
        assert http.get("/v2/models/zoo/config").json()["max_batch_size"] == 2
        assert client.predict_raw("zoo", {"images": pictures[:2]})["annotations"].shape == (2,)
        with pytest.raises(InvalidInput, match="expected 1 to 2 rows for zoo, got 3"):
            client.predict_raw("zoo", {"images": pictures})
