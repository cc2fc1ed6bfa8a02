import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from repository_fakes import CATEGORIES, Maker, deploy, open_host, write_artifact, write_configuration, write_graph

from sightline.core.errors import CorruptFile, InvalidInput, NotFound
from sightline.core.folders import MANIFEST_NAME
from sightline.serving.inference.source import ModelSource
from sightline.serving.repository.folders import (
    ModelFolder,
    PipelineSource,
    find_most_running,
    read_folder,
    sort_by_dependence,
    tell_reason,
    verify_source,
)
from sightline.serving.repository.looking import stamp_folder, stamp_repository
from sightline.serving.scheduling.work import QueueSettings

CLASSIFIER = {
    "task": "classification",
    "input": {"width": 8, "height": 8, "name": "images"},
    "decode": {"head": "softmax", "outputs": ["logits"]},
    "categories": ["cat", "dog"],
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "repository").mkdir()
    return tmp_path / "repository"


def read_source(repository: Path, name: str = "parts") -> ModelSource:
    (source,) = read_folder(repository, name, cores=4).sources
    assert isinstance(source, ModelSource)
    return source


def test_a_deployment_needs_no_configuration(repository: Path) -> None:
    deploy(repository, "parts", "a")
    deploy(repository, "parts", "bcd")
    folder = read_folder(repository, "parts", cores=4)
    assert (folder.kind, folder.versions, folder.default, folder.problems) == ("deployment", (1, 2), 2, {})
    (source,) = folder.sources
    assert isinstance(source, ModelSource)
    assert (source.version, source.graph.read_text(), source.engine, source.categories) == (2, "bcd", "reference", CATEGORIES)
    assert (source.queue, source.size_bytes) == (QueueSettings(most_running=8), 3)
    assert (find_most_running(1, cores=16), find_most_running(1, cores=2), find_most_running(16, cores=16)) == (12, 2, 32)
    assert len(source.artifact_id) == 64 and source.model_id == "m" * 64
    assert folder.deployed_at.startswith("20")


def test_an_artifact_runs_once_on_each_core_however_it_was_tuned(repository: Path) -> None:
    deploy(repository, "parts", "a")  # tuned for one stream of one thread
    source = read_source(repository)
    assert (source.streams, source.threads) == (4, 1)
    write_configuration(repository, "parts", {"instance_group": [{"count": 2}]})
    source = read_source(repository)
    assert (source.streams, source.threads) == (2, 2)


def test_an_artifact_of_another_device_runs_as_it_was_tuned(repository: Path) -> None:
    deploy(repository, "parts", "a", device="fpga-emulator")
    source = read_source(repository)
    assert (source.device, source.streams, source.threads) == ("fpga-emulator", 1, 1)


def test_a_deployments_configuration_may_say_how_it_runs_but_not_what_it_is(repository: Path) -> None:
    deploy(repository, "parts", "a")
    own = {"weight": 3, "streams": 2, "threads": 5, "engine": "reference", "categories": list(CATEGORIES)}
    write_configuration(repository, "parts", {"sightline": own})
    source = read_source(repository)
    assert (source.queue.weight, source.streams, source.threads) == (3.0, 2, 5)
    write_configuration(repository, "parts", {"sightline": {"precision": "int8"}})
    folder = read_folder(repository, "parts", cores=4)
    assert folder.sources == () and "sightline.precision: an Artifact has its own" in folder.problems[1]


def test_a_deployment_with_a_policy_answers_with_several_versions_and_the_named_one_by_default(repository: Path) -> None:
    for words in ("a", "b", "c"):
        deploy(repository, "parts", words)
    write_configuration(repository, "parts", {"version_policy": {"specific": {"versions": [1, 3, 9]}}})
    folder = read_folder(repository, "parts", cores=4)
    assert [source.version for source in folder.sources] == [1, 3]
    assert folder.default == 3
    assert "expected version 9 beside [1, 2, 3]" in folder.problems[9]


def test_a_graph_of_raw_tensors_needs_no_configuration(repository: Path) -> None:
    write_graph(repository, "parts", 1, "old")
    write_graph(repository, "parts", 12, "graph")
    folder = read_folder(repository, "parts", cores=4)
    assert (folder.kind, folder.versions, folder.default) == ("graph", (1, 12), 12)
    source = read_source(repository)
    assert (source.task, source.input, source.engine, source.precision) == ("raw", None, "openvino", "fp32")
    assert (source.streams, source.threads, source.batch, source.size_bytes) == (4, 1, 1, 5)


def test_a_graphs_configuration_says_what_its_pictures_mean(repository: Path) -> None:
    words = {"max_batch_size": 8, "dynamic_batching": {}, "backend": "onnxruntime", "sightline": CLASSIFIER | {"threads": 3}}
    write_graph(repository, "parts", 1, "graph", words)
    source = read_source(repository)
    assert (source.task, source.categories, source.engine) == ("classification", ("cat", "dog"), "onnxruntime")
    assert source.input is not None and source.input.width == 8 and source.decode is not None
    assert (source.batch, source.queue.max_batch, source.threads) == (8, 8, 3)


@pytest.mark.parametrize("missing", ["input", "decode", "categories"])
def test_a_graph_with_a_task_needs_all_that_the_task_needs(repository: Path, missing: str) -> None:
    own = {key: value for key, value in CLASSIFIER.items() if key != missing}
    write_graph(repository, "parts", 1, "graph", {"sightline": own})
    assert f"sightline.{missing}: expected" in read_folder(repository, "parts", cores=1).problems[1]


def test_which_graph_of_several_is_meant_must_be_clear(repository: Path) -> None:
    home = write_graph(repository, "parts", 1, "one")
    (home / "other.onnx").write_text("two")
    assert read_source(repository).graph.name == "model.onnx"
    write_configuration(repository, "parts", {"default_model_filename": "other.onnx"})
    assert read_source(repository).graph.name == "other.onnx"
    write_configuration(repository, "parts", {"default_model_filename": "third.onnx"})
    assert "expected third.onnx, got model.onnx, other.onnx" in read_folder(repository, "parts", cores=1).problems[1]
    write_configuration(repository, "parts", {})
    (home / "model.onnx").rename(home / "another.onnx")
    assert "expected one graph file" in read_folder(repository, "parts", cores=1).problems[1]


def test_an_ir_waits_for_its_weights(repository: Path) -> None:
    home = repository / "parts" / "1"
    home.mkdir(parents=True)
    (home / "model.xml").write_text("<net/>")
    assert "model.bin" in read_folder(repository, "parts", cores=1).problems[1]
    (home / "model.bin").write_text("weights")
    assert read_source(repository).size_bytes == 13


def test_what_is_being_written_or_removed_is_not_there(repository: Path, tmp_path: Path) -> None:
    (repository / ".half").mkdir()
    (repository / "empty").mkdir()
    (repository / "README").write_text("not a folder")
    write_graph(repository, "graphs", 1, "a")
    (repository / "graphs" / ".2.tmp").mkdir()
    (repository / "graphs" / "03").mkdir()
    (repository / "graphs" / "03" / "model.onnx").write_text("a leading zero, as Triton ignores it")
    (repository / "graphs" / "4").mkdir()
    write_artifact(repository / "leaving" / "1")  # the Deployment's manifest goes first
    assert list(stamp_repository(repository)) == ["graphs"]
    assert read_folder(repository, "graphs", cores=1).versions == (1,)
    for name in ("leaving", "empty", "nowhere", ".half", "../repository/graphs"):
        with pytest.raises(NotFound):
            read_folder(repository, name, cores=1)


def test_a_stamp_changes_with_whatever_matters_and_with_nothing_else(repository: Path) -> None:
    home = write_graph(repository, "parts", 1, "a")
    stamps = [stamp_folder(repository / "parts")]

    def changed() -> bool:
        stamps.append(stamp_folder(repository / "parts"))
        return stamps[-1] != stamps[-2]

    assert not changed()
    (home / "model.onnx").rename(home / "kept")
    (home / "model.onnx").write_text("b")
    (home / "kept").unlink()
    assert changed()
    write_configuration(repository, "parts", {})
    assert changed()
    write_graph(repository, "parts", 2, "c")
    assert changed()
    (home / ".hidden").write_text("x")
    assert not changed()
    (repository / "parts" / "pipeline.json").write_text('{"steps": []}')
    assert changed()
    assert not changed()


def test_weights_in_folders_of_a_version_belong_to_it(repository: Path, tmp_path: Path) -> None:
    home = write_graph(repository, "parts", 1, "graph")
    for folder in (home / "data" / "deep", home / ".old", tmp_path / "first", tmp_path / "second"):
        folder.mkdir(parents=True)
    stamps = [stamp_folder(repository / "parts")]
    for path in (home / "data" / "weights.bin", home / "data" / "deep" / "w", home / ".old" / "w"):
        path.write_text("four")
        stamps.append(stamp_folder(repository / "parts"))
    for target in ("first", "second"):
        (home / "linked").unlink(missing_ok=True)
        (home / "linked").symlink_to(tmp_path / target)
        stamps.append(stamp_folder(repository / "parts"))
    (home / "round").symlink_to(home)
    assert [before != after for before, after in pairwise(stamps)] == [True, True, False, True, True]
    (home / "linked").unlink()
    (home / "round").unlink()
    source = read_source(repository)
    assert source.size_bytes == len("graph") + 2 * len("four")


def test_an_override_stands_in_for_the_file(repository: Path) -> None:
    write_graph(repository, "parts", 1, "a", {"max_batch_size": "broken"})
    assert 0 in read_folder(repository, "parts", cores=1).problems
    folder = read_folder(repository, "parts", 1, {"dynamic_batching": {}, "max_batch_size": 5})
    assert folder.problems == {}
    assert isinstance(folder.sources[0], ModelSource) and folder.sources[0].queue.max_batch == 5
    with pytest.raises(InvalidInput, match=r"^the configuration given: max_batch_size"):
        read_folder(repository, "parts", 1, {"max_batch_size": -1})


def test_a_broken_manifest_is_told_and_hides_no_other(repository: Path) -> None:
    deploy(repository, "parts", "a")
    (repository / "parts" / MANIFEST_NAME).write_text("{}")
    problem = read_folder(repository, "parts", cores=1).problems[0]
    assert "parts/manifest.json is no Deployment manifest" in problem
    assert str(repository) not in problem


def test_an_artifact_whose_files_changed_is_refused_and_one_that_reaches_out_as_well(repository: Path) -> None:
    deploy(repository, "parts", "a")
    source = read_source(repository)
    verify_source(source)
    source.graph.unlink()  # a hard link of the Artifact's
    source.graph.write_text("b")
    with pytest.raises(CorruptFile):
        verify_source(source)
    path = repository / "parts" / "1" / MANIFEST_NAME
    manifest = msgspec.json.decode(path.read_bytes())
    path.unlink()
    path.write_bytes(msgspec.json.encode(manifest | {"graph_file": "../../../secret.onnx"}))
    assert "expected its graph inside it" in read_folder(repository, "parts", cores=1).problems[1]


def test_an_artifact_whose_graph_is_a_link_into_itself_is_refused_like_one_that_lacks_it(repository: Path) -> None:
    deploy(repository, "parts", "a")
    graph = repository / "parts" / "1" / "model.onnx"
    graph.unlink()
    graph.symlink_to(graph.name)
    folder = read_folder(repository, "parts", cores=1)
    assert folder.problems == {}
    with pytest.raises(NotFound, match=r"lacks model\.onnx"):
        verify_source(folder.sources[0])


def test_a_link_into_itself_hides_no_model(repository: Path) -> None:
    deploy(repository, "parts", "a")
    (repository / "loop").symlink_to("loop")
    assert list(stamp_repository(repository)) == ["parts"]


def test_a_pipeline_names_the_models_it_needs(repository: Path) -> None:
    (repository / "chain").mkdir()
    text = '{"steps": [{"name": "a", "model": "parts"}, {"name": "b", "crop": {}}, {"model": "other"}, {"model": "parts"}]}'
    (repository / "chain" / "pipeline.json").write_text(text)
    folder = read_folder(repository, "chain", cores=1)
    assert folder.sources == (PipelineSource(name="chain", version=1, text=text, depends_on=("parts", "other")),)
    assert (folder.kind, folder.default, folder.depends_on) == ("pipeline", 1, ("parts", "other"))
    for broken in ("", "[", "[" * 100_000):
        (repository / "chain" / "pipeline.json").write_text(broken)
        assert "pipeline.json: expected JSON" in read_folder(repository, "chain", cores=1).problems[0]


def test_models_are_loaded_before_the_pipelines_that_need_them() -> None:
    def make(name: str, *needs: str) -> ModelFolder:
        source = PipelineSource(name=name, text="", depends_on=needs)
        return ModelFolder(name=name, kind="pipeline", sources=(source,) if needs else ())

    folders = [make("all", "half", "b"), make("half", "a"), make("a"), make("b")]
    order = [folder.name for folder in sort_by_dependence(folders)]
    assert sorted(order) == ["a", "all", "b", "half"]
    assert order.index("a") < order.index("half") < order.index("all") > order.index("b")
    circle = [make("x", "y"), make("y", "x")]
    assert sort_by_dependence(circle) == circle


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            NotFound("expected a graph file, got {}/parts/1/model.onnx, which is not there"),
            "expected a graph file, got parts/1/model.onnx, which is not there",
        ),
        (InvalidInput("OpenVINO cannot open /opt/secret/place/model.xml:\n bad"), "OpenVINO cannot open model.xml: bad"),
        (InvalidInput("expected int8/fp32 and 1/2"), "expected int8/fp32 and 1/2"),
        (RuntimeError("/opt/engine/core.cpp:5 check failed"), "it cannot be opened; the server's log says why"),
        (
            PermissionError(13, "Permission denied", "/srv/models/parts/config.json"),
            "config.json cannot be read: Permission denied",
        ),
    ],
)
def test_reasons_hold_no_path_of_the_machine(tmp_path: Path, error: Exception, told: str) -> None:
    if isinstance(error, NotFound):
        error = NotFound(str(error).format(tmp_path))
    assert tell_reason(error, tmp_path) == told


@pytest.mark.parametrize(
    ("words", "gathered", "planned"),
    [
        ({}, 8, (1, 4, 8)),
        ({"sightline": {"batch": 16}}, 16, (1, 4, 8, 16)),
        ({"sightline": {"batch": 64}}, 64, (1, 4, 32, 64)),
        ({"sightline": {"batch": 6}}, 6, (1, 4, 6)),
        ({"sightline": {"batch": 3}}, 3, (1, 3)),
        ({"sightline": {"batch": 1}}, 1, (1, 4, 8)),
        ({"max_batch_size": 32}, 1, (1, 4, 8)),  # nothing gathers, but one request may have many rows
    ],
)
def test_an_artifact_tuned_for_large_batches_gathers_a_few(
    repository: Path, words: dict[str, object], gathered: int, planned: tuple[int, ...]
) -> None:
    deploy(repository, "parts", "a", batch=16)
    write_configuration(repository, "parts", words)
    source = read_source(repository)
    assert (source.queue.max_batch, source.planned_batches) == (gathered, planned)


def test_a_pipeline_says_how_its_requests_wait_in_a_configuration_beside_it(repository: Path) -> None:
    home = repository / "chain"
    home.mkdir()
    (home / "pipeline.json").write_text('{"steps": [{"name": "find", "model": "parts"}]}')
    waiting = {"default_queue_policy": {"default_timeout_microseconds": 2_000_000, "max_queue_size": 9}}
    write_configuration(repository, "chain", {"dynamic_batching": waiting, "max_batch_size": 4, "sightline": {"weight": 2}})
    (source,) = read_folder(repository, "chain", 1).sources
    assert isinstance(source, PipelineSource)
    assert source.queue == QueueSettings(max_batch=4, default_timeout_s=2.0, max_waiting=9, weight=2.0)
    assert source.largest_request == 4
    for words, named in (({"platform": "openvino"}, "platform"), ({"sightline": {"task": "raw"}}, r"sightline\.task")):
        write_configuration(repository, "chain", words)
        (problem,) = read_folder(repository, "chain", 1).problems.values()
        assert re.match(rf"config\.json: {named}: expected only how a pipeline's requests wait", problem)


@pytest.mark.parametrize(
    "words",
    [{"sightline": {"task": "detection"}}, {"sightline": {"categories_file": "none.txt"}}, {"output": [{"name": "no"}]}],
)
def test_what_a_given_configuration_gets_wrong_is_not_blamed_on_the_file(
    repository: Path, maker: Maker, words: dict[str, Any]
) -> None:
    write_graph(repository, "plain", 1, "a", {})
    with open_host(repository, maker, mode="explicit") as host:
        with pytest.raises(InvalidInput, match="the configuration given: ") as caught:
            host.load("plain", words)
        assert "config.json" not in str(caught.value)


def write_pipeline(repository: Path, name: str, *models: str) -> None:
    (repository / name).mkdir()
    steps = [{"name": f"s{place}", "model": model} for place, model in enumerate(models)]
    (repository / name / "pipeline.json").write_bytes(msgspec.json.encode({"steps": steps}))


def test_pipelines_that_run_themselves_or_each_other_leave_the_order_of_the_others_alone(repository: Path) -> None:
    write_pipeline(repository, "a", "z", "loop")
    write_pipeline(repository, "b", "c", "z")
    write_pipeline(repository, "c", "b")
    write_pipeline(repository, "loop", "loop", "z")
    write_graph(repository, "z", 1, "z")
    names = [
        folder.name
        for folder in sort_by_dependence([read_folder(repository, name, 1) for name in ("a", "b", "c", "loop", "z")])
    ]
    assert sorted(names) == ["a", "b", "c", "loop", "z"]
    assert names[0] == "z" and names.index("loop") < names.index("a")
