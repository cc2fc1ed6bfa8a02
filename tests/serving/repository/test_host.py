import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from repository_fakes import (
    MIB,
    FakeModel,
    FakeQueues,
    Maker,
    ask,
    deploy,
    list_states,
    open_host,
    write_configuration,
    write_graph,
)
from waiting import wait_until

from sightline.core.errors import Exhausted, InvalidInput, NotFound, SightlineError
from sightline.serving.deployments import remove_deployment
from sightline.serving.inference.calls import TensorFacts
from sightline.serving.inference.source import ModelSource
from sightline.serving.inference.tensor_facts import fit_source
from sightline.serving.repository.describing import DeploymentFacts, DeploymentState
from sightline.serving.repository.folders import read_folder
from sightline.serving.repository.looking import stamp_repository
from sightline.serving.scheduling.work import QueueSettings


def test_a_version_is_warmed_up_before_it_answers(repository: Path, maker: Maker) -> None:
    deploy(repository, "parts", "a")
    with open_host(repository, maker, start=False) as host:
        with pytest.raises(Exhausted, match="loading its models"):
            host.acquire("parts")
        assert host.start() == ["parts"]
        served = host.acquire("parts")
        assert isinstance(served, FakeModel) and served.calls == ["open", "warm_up"]
        host.release(served)
        assert (ask(host), ask(host, version="1"), host.list_versions("parts")) == (1, 1, [1])
        with pytest.raises(NotFound) as unknown:
            host.acquire("other")
        assert "parts" not in str(unknown.value)  # who asks may have a key that knows of no other model
        for name, version in (
            ("other", ""),
            ("parts", "2"),
            ("parts", "01"),
            ("parts", "x"),
            ("parts", "-1"),
            ("../parts", ""),
        ):
            with pytest.raises(NotFound):
                host.acquire(name, version)
        with pytest.raises(NotFound):
            host.list_versions("other")
    assert maker.closed == [("parts", 1)]


def test_a_repository_that_is_not_there_is_said_at_start(tmp_path: Path, maker: Maker) -> None:
    with open_host(tmp_path / "nowhere", maker, start=False) as host, pytest.raises(NotFound, match="model repository"):
        host.start()


def test_the_old_version_answers_until_the_new_one_is_ready_and_is_closed_by_its_last_holder(
    repository: Path, maker: Maker
) -> None:
    deploy(repository, "parts", "a")
    with open_host(repository, maker) as host, ThreadPoolExecutor(1) as pool:
        first, second = host.acquire("parts"), host.acquire("parts")
        deploy(repository, "parts", "slow")
        swap = pool.submit(host.look)
        assert maker.entered.wait(20)
        assert list_states(host) == {("parts", 1): "READY", ("parts", 2): "LOADING"}
        assert ask(host) == 1
        with pytest.raises(Exhausted, match="version 2 of model 'parts' is still loading"):
            host.acquire("parts", "2")
        maker.gate.set()
        swap.result()
        assert ask(host) == 2
        assert list_states(host) == {("parts", 1): "UNLOADING", ("parts", 2): "READY"}
        with pytest.raises(NotFound):  # it drains: nobody new gets it
            host.acquire("parts", "1")
        host.release(first)
        assert maker.closed == []
        host.release(second)
        wait_until(lambda: maker.closed == [("parts", 1)])
        assert list_states(host) == {("parts", 1): "UNAVAILABLE", ("parts", 2): "READY"}


@pytest.mark.parametrize("words", ["broken", "cold", "crash"])
def test_a_bad_version_leaves_the_old_one_and_says_why_without_a_path(repository: Path, maker: Maker, words: str) -> None:
    deploy(repository, "parts", "a")
    with open_host(repository, maker) as host:
        deploy(repository, "parts", words)
        host.look()
        host.look()
        assert ask(host) == 1
        (old, bad) = host.index()
        assert (old.state, bad.state, bad.version) == ("READY", "UNAVAILABLE", 2)
        said = {
            "broken": "the engine cannot read parts/2/model.onnx",
            "cold": "the first inference failed",
            "crash": "it cannot be opened; the server's log says why",
        }[words]
        assert bad.reason == said
        assert len(maker.made) == 2  # it was tried once
        with pytest.raises(Exhausted, match="version 2 of model 'parts' cannot answer"):
            host.acquire("parts", "2")
        facts = host.describe("parts")
        assert isinstance(facts, DeploymentFacts)
        assert (facts.version, facts.failed_version, facts.detail) == (1, 2, said)
        host.reload("parts")
        assert len(maker.made) == 3  # tried again when asked
        deploy(repository, "parts", "good")
        host.look()
        assert ask(host) == 3
        assert maker.opened == [("parts", 3)]


def test_one_that_never_opened_is_exhausted_with_the_reason_and_the_others_answer(repository: Path, maker: Maker) -> None:
    deploy(repository, "bad", "broken")
    deploy(repository, "good", "a")
    (repository / "odd").mkdir()
    (repository / "odd" / "manifest.json").write_text("no manifest")
    with open_host(repository, maker, start=False) as host:
        assert host.start() == ["good"]
        with pytest.raises(Exhausted, match="'bad' cannot answer: version 1: the engine cannot read bad/1/model"):
            host.acquire("bad")
        with pytest.raises(Exhausted, match=r"'odd' cannot answer: odd/manifest\.json"):
            host.acquire("odd")
        assert [(one.name, one.state) for one in host.describe_all()] == [
            ("bad", "failed"),
            ("good", "ready"),
            ("odd", "failed"),
        ]
        states = {(state.name, state.version): state for state in host.index()}
        assert states["odd", 0].state == "UNAVAILABLE" and "manifest.json" in states["odd", 0].reason
        assert not [state for state in states.values() if str(repository) in state.reason]


def test_while_the_first_version_loads_requests_are_told_to_come_again(repository: Path, maker: Maker) -> None:
    deploy(repository, "parts", "slow")
    with open_host(repository, maker, start=False) as host, ThreadPoolExecutor(1) as pool:
        started = pool.submit(host.start)
        assert maker.entered.wait(20)
        with pytest.raises(Exhausted, match="still loading"):
            host.acquire("parts")
        assert host.describe("parts") == DeploymentState(name="parts", state="loading")
        assert list_states(host) == {("parts", 1): "LOADING"}
        maker.gate.set()
        assert started.result() == ["parts"]


def test_a_removed_model_is_unloaded_when_it_is_missing_twice(repository: Path, maker: Maker) -> None:
    deploy(repository, "parts", "a")
    with open_host(repository, maker) as host:
        held = host.acquire("parts")
        remove_deployment("parts", repository)
        host.look()
        assert ask(host) == 1
        host.look()
        with pytest.raises(NotFound):
            host.acquire("parts")
        assert list_states(host) == {("parts", 1): "UNLOADING"}
        host.release(held)
        wait_until(lambda: maker.closed == [("parts", 1)])
        assert host.index() == []
        deploy(repository, "parts", "b")
        host.look()
        assert ask(host) == 1 and maker.opened == [("parts", 1)]


def test_reload_sees_at_once_that_a_model_has_gone(repository: Path, maker: Maker) -> None:
    deploy(repository, "parts", "a")
    with open_host(repository, maker) as host:
        remove_deployment("parts", repository)
        with pytest.raises(NotFound, match="'parts' in the repository"):
            host.reload("parts")
        with pytest.raises(NotFound):
            host.acquire("parts")
        for name in ("../repository", "..", "", "a/b", "\0"):
            with pytest.raises(NotFound):
                host.reload(name)


def test_a_repository_that_is_away_for_a_moment_unloads_nothing(repository: Path, maker: Maker) -> None:
    deploy(repository, "parts", "a")
    with open_host(repository, maker) as host:
        repository.rename(repository.with_name("away"))
        host.look()
        host.look()
        assert ask(host) == 1
        assert [state.state for state in host.index()] == ["READY"]


def test_the_server_that_polls_finds_a_new_version_by_itself(repository: Path, maker: Maker) -> None:
    deploy(repository, "parts", "a")
    with open_host(repository, maker, check_every_s=0.01) as host:
        deploy(repository, "parts", "b")
        wait_until(lambda: ask(host) == 2)
        write_graph(repository, "graph", 3, "c")
        wait_until(lambda: "graph" in {state.name for state in host.list_loaded()})
        wait_until(lambda: ("graph", 3) in maker.opened)


def fail_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading one model's folder ends in an error that nobody thought of."""

    def read(repository: Path, asked: str, *rest: Any) -> Any:
        if asked == name:
            raise RuntimeError("/srv/secret: symlink loop")
        return read_folder(repository, asked, *rest)

    monkeypatch.setattr("sightline.serving.repository.updating.read_folder", read)


def test_an_unexpected_error_of_one_folder_is_its_problem_alone(
    repository: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fail_for("odd", monkeypatch)
    deploy(repository, "odd", "a")
    deploy(repository, "parts", "a")
    with open_host(repository, maker, start=False) as host:
        assert host.start() == ["parts"]
        deploy(repository, "parts", "b")
        host.look()
        assert ask(host) == 2
        (reason,) = [state.reason for state in host.index() if state.name == "odd"]
        assert "the server's log says why" in reason and "secret" not in reason
    assert "symlink loop" in caplog.text
    with open_host(repository, maker, start=False, mode="explicit", load_at_start=["odd", "parts"]) as host:
        assert host.start() == ["parts"]


@pytest.mark.parametrize("failing", ["look", "memory"])
def test_after_an_unexpected_error_it_is_logged_and_the_next_look_comes(
    repository: Path, maker: Maker, failing: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = iter(range(1_000_000))

    def fail_the_second_time(*_: Any) -> Any:
        if next(calls) == 1:
            raise RuntimeError("nobody thought of this")
        return stamp_repository(repository) if failing == "look" else None

    queues = FakeQueues()
    if failing == "look":
        monkeypatch.setattr("sightline.serving.repository.updating.stamp_repository", fail_the_second_time)
    else:
        monkeypatch.setattr(queues, "wake", fail_the_second_time)
    deploy(repository, "parts", "a")
    with open_host(repository, maker, queues, check_every_s=0.01, memory_budget_bytes=9 * MIB) as host:
        wait_until(lambda: "nobody thought of this" in caplog.text)
        deploy(repository, "parts", "b")
        wait_until(lambda: ask(host) == 2)


def test_plain_files_are_opened_when_they_look_the_same_twice(repository: Path, maker: Maker) -> None:
    with open_host(repository, maker) as host:
        folder = write_graph(repository, "parts", 1, "half")
        host.look()
        (folder / "model.onnx").write_text("whole file")
        host.look()
        assert maker.made == []
        host.look()
        assert ask(host) == 1 and [model.words for model in maker.alive] == ["whole file"]
        (folder / "model.onnx").write_text("another of the same number")
        host.look()
        host.look()
        assert [model.words for model in maker.alive if model.is_resident] == ["another of the same number"]
        assert maker.closed == [("parts", 1)]


def test_a_bad_configuration_leaves_what_is_open_and_a_good_one_reopens(repository: Path, maker: Maker) -> None:
    deploy(repository, "parts", "a")
    with open_host(repository, maker) as host:
        write_configuration(repository, "parts", {"max_batch_size": "many"})
        host.look()
        (state,) = host.index()
        assert state.state == "READY" and state.reason.startswith("config.json: max_batch_size: ")
        assert ask(host) == 1 and len(maker.made) == 1
        write_configuration(repository, "parts", {"sightline": {"weight": 4}})
        host.look()
        assert host.acquire("parts").queue.weight == 4
        assert [state.reason for state in host.index() if state.state == "READY"] == [""]
        write_configuration(repository, "parts", {"sightline": {"weight": 4}, "parameters": {"note": {"string_value": "x"}}})
        host.look()
        assert len(maker.made) == 2  # parameters need no opening
        assert host.describe_configuration("parts")["parameters"] == {"note": {"string_value": "x"}}


def test_a_graph_that_is_not_what_the_file_expects_does_not_answer(repository: Path, maker: Maker) -> None:
    write_graph(repository, "parts", 1, "a", {"input": [{"name": "pixels"}]})
    with open_host(repository, maker) as host:
        with pytest.raises(Exhausted, match="expected one of"):
            host.acquire("parts")
        assert maker.opened == []


def test_policies_decide_who_answers_and_the_manifest_who_answers_by_default(repository: Path, maker: Maker) -> None:
    for words in ("a", "b", "c"):
        deploy(repository, "parts", words)
    write_configuration(repository, "parts", {"version_policy": {"all": {}}})
    with open_host(repository, maker) as host:
        assert host.list_versions("parts") == [1, 2, 3]
        assert (ask(host), ask(host, version="2")) == (3, 2)
        write_configuration(repository, "parts", {"version_policy": {"specific": {"versions": [1]}}})
        host.look()
        assert host.list_versions("parts") == [1]
        assert {state.version: state.reason for state in host.index()} == {
            1: "",
            2: "left out by the version policy",
            3: "left out by the version policy",
        }
        (repository / "parts" / "config.json").unlink()
        host.look()
        assert host.list_versions("parts") == [3]


def test_going_back_to_an_older_version_never_leaves_nobody(repository: Path, maker: Maker) -> None:
    deploy(repository, "parts", "a")
    manifest = (repository / "parts" / "manifest.json").read_bytes()
    deploy(repository, "parts", "b")
    with open_host(repository, maker) as host:
        assert ask(host) == 2
        (repository / "parts" / "manifest.json").unlink()
        (repository / "parts" / "manifest.json").write_bytes(manifest)
        host.look()
        assert (ask(host), host.list_versions("parts")) == (1, [1])


def test_a_hundred_swaps_under_load_fail_nobody_and_leave_nothing(repository: Path, maker: Maker) -> None:
    deploy(repository, "parts", "v")
    with open_host(repository, maker) as host:
        stop, failures, answers = threading.Event(), [], []

        def hammer() -> None:
            while not stop.is_set():
                try:
                    served = host.acquire("parts")
                    assert isinstance(served, FakeModel)
                    assert served.is_resident, "an answering version must be open"
                    answers.append(served.source.version)
                    assert "close" not in served.calls, "nobody may close what is held"
                    host.release(served)
                    time.sleep(0)  # no pause: lets the thread that swaps have the interpreter
                except (SightlineError, AssertionError) as error:
                    failures.append(error)

        threads = [threading.Thread(target=hammer) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(2, 102):
            assert deploy(repository, "parts", "v") == number
            host.look()
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert set(answers) <= set(range(1, 102)) and len(set(answers)) > 1
        wait_until(lambda: len(maker.closed) == 100)
        del threads
        # Without a collection: reference counting alone must give a closed version back.
        wait_until(lambda: [model.source.version for model in maker.alive] == [101])
        assert sorted(maker.closed) == [("parts", number) for number in range(1, 101)]


def test_a_hundred_reloads_keep_no_reference_even_when_every_second_one_fails(
    repository: Path, maker: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)  # what the fixture captures keeps the tracebacks' frames
    folder = write_graph(repository, "parts", 1, "v0")
    with open_host(repository, maker, mode="explicit", load_at_start=["parts"]) as host:
        for number in range(1, 101):
            (folder / "model.onnx").write_text(f"{'broken' if number % 2 else 'v'}{number}")
            if number % 2:
                with pytest.raises(InvalidInput):
                    host.load("parts")
            else:
                host.load("parts")
        assert len(maker.made) == 101
        wait_until(lambda: [model.words for model in maker.alive] == ["v100"])


def test_after_close_requests_are_told_that_the_server_ends(repository: Path, maker: Maker) -> None:
    deploy(repository, "parts", "a")
    with open_host(repository, maker) as host:
        held = host.acquire("parts")
        host.close()
        assert maker.closed == [("parts", 1)]
        host.release(held)
        for call in (host.acquire, host.list_versions, host.reload, host.describe):
            with pytest.raises(Exhausted, match="shutting down"):
                call("parts")
        host.close()  # once more is no error


def test_a_load_that_was_begun_before_the_end_leaves_nothing_open(repository: Path, maker: Maker) -> None:
    deploy(repository, "parts", "slow")
    with open_host(repository, maker, mode="explicit") as host, ThreadPoolExecutor(2) as pool:
        load = pool.submit(host.load, "parts")
        assert maker.entered.wait(20)
        close = pool.submit(host.close)
        maker.gate.set()
        close.result(20)
        load.result(20)
        assert maker.opened == [] and maker.closed == [("parts", 1)]


def test_what_describes_a_model_can_be_loaded_and_means_the_same(repository: Path, maker: Maker) -> None:
    words = {
        "max_batch_size": 16,
        "dynamic_batching": {
            "preferred_batch_size": [4],
            "max_queue_delay_microseconds": 700,
            "priority_levels": 2,
            "default_priority_level": 2,
        },
        "version_policy": {"specific": {"versions": [1]}},
        "parameters": {"note": {"string_value": "kept"}},
        "sightline": {
            "weight": 3,
            "task": "classification",
            "input": {"width": 32, "height": 32, "layout": "NCHW"},
            "decode": {"head": "softmax", "outputs": ["out"]},
            "categories": [f"c{number}" for number in range(7)],
            "engine": "onnxruntime",
            "streams": 2,
            "threads": 3,
        },
    }
    write_graph(repository, "parts", 1, "a", words)
    with open_host(repository, maker, FakeQueues(), mode="explicit") as host:
        host.load("parts")
        served = host.acquire("parts")
        described = host.describe_configuration("parts")
        assert described["max_batch_size"] == 16
        assert described["input"] == [
            {
                "name": "images",
                "data_type": "TYPE_FP32",
                "format": "FORMAT_NCHW",
                "dims": [3, 32, 32],
                "is_shape_tensor": False,
                "allow_ragged_batch": False,
                "optional": False,
            }
        ]
        assert [(one["name"], one["dims"]) for one in described["output"]] == [("out", [7])]
        assert described["version_policy"] == {"specific": {"versions": [1]}}
        assert described["dynamic_batching"]["max_queue_delay_microseconds"] == 700
        assert described["dynamic_batching"]["default_queue_policy"]["max_queue_size"] == QueueSettings().max_waiting
        assert described["instance_group"][0]["count"] == 2
        host.load("parts", described)
        again = host.acquire("parts")
        assert again is served  # the same source: nothing was reopened
        assert host.describe_configuration("parts") == described
        with pytest.raises(NotFound):
            host.describe_configuration("parts", "2")


@pytest.mark.parametrize(
    "words",
    [
        {"dynamic_batching": {"preferred_batch_size": [128]}},
        {"max_batch_size": 8, "dynamic_batching": {"preferred_batch_size": [4]}, "sightline": {"batch": 96}},
        {},
    ],
)
@pytest.mark.parametrize("rows", [-1, 2])
def test_loading_what_describes_a_model_opens_nothing_whatever_was_filled_in(
    repository: Path, maker: Maker, words: dict[str, Any], rows: int
) -> None:
    def open_fitted(source: ModelSource) -> FakeModel:
        """As a served model does, over a graph of such a batch."""
        model = maker(source)
        tensor = TensorFacts(name="images", datatype="FP32", shape=(rows, 3, 32, 32))
        model.facts = msgspec.structs.replace(model.facts, inputs=(tensor,))
        model.source = fit_source(source, model.facts)
        model.facts = msgspec.structs.replace(model.facts, max_batch=model.source.largest_request)
        return model

    write_graph(repository, "parts", 1, "a", words)
    with open_host(repository, open_fitted, FakeQueues(), mode="explicit") as host:
        host.load("parts")
        served, described = host.acquire("parts"), host.describe_configuration("parts")
        host.load("parts", described)
        assert host.acquire("parts") is served
        assert host.describe_configuration("parts") == described
