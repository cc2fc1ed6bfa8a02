"""The tables that host, pager and updater share: who answers, who drains, who runs whom."""

from pathlib import Path

import pytest
from repository_fakes import Clock, FakeModel, Maker

from sightline.serving.inference.source import ModelSource
from sightline.serving.repository.configuration import ModelConfiguration
from sightline.serving.repository.folders import ModelFolder, PipelineSource
from sightline.serving.repository.loaded_models import LoadedModels
from sightline.serving.repository.versions import HeldVersion


@pytest.fixture
def loaded(clock: Clock) -> LoadedModels:
    return LoadedModels(clock)


def hold(loaded: LoadedModels, source: ModelSource | PipelineSource) -> tuple[HeldVersion, list[HeldVersion]]:
    """A version that answers from now on, and the one whose place it took."""
    opened = FakeModel(source, Maker())
    opened.is_resident = True
    version = HeldVersion(source, (), opened, ModelConfiguration(), loaded.clock())
    return version, loaded.put(loaded.add_model(source.name), version)


def hold_graph(loaded: LoadedModels, folder: Path, name: str, version: int = 1) -> tuple[HeldVersion, list[HeldVersion]]:
    graph = folder / f"{name}.onnx"
    graph.write_text("four")
    return hold(
        loaded, ModelSource(name=name, version=version, graph=graph, engine="none", precision="fp32", streams=1, threads=1)
    )


def test_a_version_takes_the_place_of_the_one_with_its_number_alone(loaded: LoadedModels, tmp_path: Path) -> None:
    first, none = hold_graph(loaded, tmp_path, "a")
    other, nothing = hold_graph(loaded, tmp_path, "a", version=2)
    second, replaced = hold_graph(loaded, tmp_path, "a")
    assert (none, nothing, replaced) == ([], [], [first])
    assert set(loaded.list_resident()) == {second, other}
    assert len(loaded.held) == 3  # the first is not closed yet


def test_who_is_held_drains_and_who_is_not_may_be_closed_once(loaded: LoadedModels, tmp_path: Path) -> None:
    held, _ = hold_graph(loaded, tmp_path, "a")
    idle, _ = hold_graph(loaded, tmp_path, "a", version=2)
    held.holders = 1
    assert loaded.drain(loaded.remove_model("a")) == [idle]
    assert loaded.list_draining() == [held, idle] and loaded.list_resident() == []
    assert loaded.remove_model("a") == []
    assert [loaded.remove_version(idle) for _ in range(2)] == [True, False]
    assert loaded.clear() == [held]


def test_pipelines_are_found_by_what_they_run_and_by_what_they_need(loaded: LoadedModels, tmp_path: Path) -> None:
    model, _ = hold_graph(loaded, tmp_path, "a")
    source = PipelineSource(name="z-chain", text="", depends_on=("a", "b"))
    pipeline, _ = hold(loaded, source)
    loaded.models["z-chain"].folder = ModelFolder(name="z-chain", kind="pipeline", sources=(source,))
    lacking = PipelineSource(name="chain", text="", depends_on=("a",))
    loaded.add_model("chain").folder = ModelFolder(name="chain", kind="pipeline", sources=(lacking,))
    assert loaded.list_users(model) == [pipeline]  # one that is not open runs nothing
    assert [one.name for one in loaded.list_dependents("a")] == ["chain", "z-chain"]
    assert loaded.list_users(pipeline) == loaded.list_dependents("z-chain") == []


def test_what_is_being_opened_is_named(loaded: LoadedModels) -> None:
    assert loaded.describe_opening() == ""
    loaded.add_model("parts").loading = 3
    loaded.add_model("other")
    assert loaded.describe_opening() == "version 3 of parts"
