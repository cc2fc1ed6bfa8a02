"""Pipelines under a memory budget: their models are paged, they are not."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from repository_fakes import MIB, Clock, FakeModel, FakeQueues, Maker, WaitingHost, list_resident, open_host, write_graph
from waiting import wait_until

from sightline.core.errors import InvalidInput
from sightline.serving.repository.folders import PipelineSource


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        write_graph(tmp_path / "repository", name, 1, "four")  # 4 MiB each
    return tmp_path / "repository"


class AskingPipeline(FakeModel):
    """Holds its models only for a moment, as `pipelines.pipeline_model` does, and asks the host whether they are there."""

    host: WaitingHost

    def open(self) -> None:
        self.is_opened = True

    def warm_up(self) -> None:
        pass

    @property
    def is_resident(self) -> bool:
        assert isinstance(self.source, PipelineSource)
        served = [self.host.acquire(step) for step in self.source.depends_on]
        for one in served:
            self.host.release(one)
        return all(one.is_resident for one in served)

    @is_resident.setter
    def is_resident(self, value: bool) -> None:
        pass


def write_pipeline(repository: Path, *steps: str) -> None:
    (repository / "chain").mkdir()
    written = ", ".join(f'{{"model": "{step}"}}' for step in steps)
    (repository / "chain" / "pipeline.json").write_text(f'{{"steps": [{written}]}}')


@contextmanager
def open_with_pipeline(repository: Path, maker: Maker, queues: FakeQueues, **settings: Any) -> Iterator[WaitingHost]:
    """A host whose pipelines ask it for their models."""

    def open_pipeline(source: PipelineSource) -> AskingPipeline:
        pipeline = AskingPipeline(source, maker)
        pipeline.host = host
        return pipeline

    with open_host(repository, maker, queues, start=False, open_pipeline=open_pipeline, **settings) as host:
        host.start()
        yield host


def test_a_pipeline_brings_its_models_in_and_is_itself_never_paged(repository: Path, maker: Maker, queues: FakeQueues) -> None:
    write_pipeline(repository, "a", "b")
    with open_with_pipeline(repository, maker, queues, memory_budget_bytes=8 * MIB) as host:
        assert list_resident(host) == ["b", "c", "chain"]
        served = host.acquire("chain")
        assert not served.is_resident  # which asks for them
        wait_until(lambda: served.is_resident)
        assert list_resident(host) == ["a", "b", "chain"]
        assert isinstance(served, AskingPipeline) and "page_out" not in served.calls
        host.release(served)


def test_a_pipeline_whose_model_cannot_be_paged_in_is_answered(repository: Path, maker: Maker, queues: FakeQueues) -> None:
    write_pipeline(repository, "a", "b")
    with open_with_pipeline(repository, maker, queues, memory_budget_bytes=8 * MIB) as host:
        maker.broken_now.add("a")
        waiting = host.acquire("chain")
        assert not waiting.is_resident
        for _ in range(2):
            assert queues.has_dropped.acquire(timeout=20)
        assert [refused.name for refused, _ in queues.dropped] == ["a", "chain"]
        assert all("version 1 of a cannot be paged in" in str(error) for _, error in queues.dropped)


def test_models_that_a_waiting_pipeline_runs_stay_until_it_ran(repository: Path, maker: Maker, queues: FakeQueues) -> None:
    write_pipeline(repository, "a", "b")
    with open_with_pipeline(repository, maker, queues, memory_budget_bytes=8 * MIB) as host:
        chain = host.acquire("chain")
        assert not chain.is_resident
        wait_until(lambda: chain.is_resident)
        other = host.acquire("c")
        host.look()
        assert list_resident(host) == ["a", "b", "chain"]  # nobody else holds them
        host.release(chain)
        wait_until(lambda: other.is_resident)
        assert any("chain" in names for names in queues.awaited)  # an execution of it may have begun meanwhile


def test_one_that_grew_until_its_partner_no_longer_fits_comes_back_as_it_was_opened(
    repository: Path, maker: Maker, queues: FakeQueues, clock: Clock
) -> None:
    write_pipeline(repository, "a", "b")
    settings = {"memory_budget_bytes": 8 * MIB, "page_in_patience_s": 10.0, "clock": clock, "check_every_s": 0.01}
    with open_with_pipeline(repository, maker, queues, **settings) as host:
        (grown,) = (model for model in maker.alive if model.name == "b")
        grown.plan_count *= 2
        chain = host.acquire("chain")
        assert not chain.is_resident
        host.look()
        assert "a" not in list_resident(host)
        clock.now_s += 6
        wait_until(lambda: chain.is_resident)
        assert list_resident(host) == ["a", "b", "chain"] and queues.dropped == []


def test_a_pipeline_whose_models_never_fit_together_is_refused(repository: Path, maker: Maker) -> None:
    write_pipeline(repository, "a", "b", "c")
    with open_host(repository, maker, mode="explicit", open_pipeline=maker, memory_budget_bytes=11 * MIB) as host:
        with pytest.raises(InvalidInput, match="budget of 11 MiB, got 12 MiB"):
            host.load("chain")
        assert host.list_versions("a") == [1]
