"""What changes while something runs, is held, or waits for its turn."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from repository_fakes import FakeQueues, Maker, ask, deploy, list_states, open_host, write_graph
from waiting import wait_until

from sightline.core.errors import Exhausted, NotFound


def test_an_old_version_that_still_runs_for_nobody_is_closed_when_that_ends_and_holds_up_no_load(
    repository: Path, maker: Maker
) -> None:
    queues = FakeQueues()
    deploy(repository, "parts", "a")
    with open_host(repository, maker, queues, check_every_s=0.01) as host:
        queues.running.add("parts")
        deploy(repository, "parts", "b")
        deploy(repository, "other", "c")
        states = {("other", 1): "READY", ("parts", 1): "UNLOADING", ("parts", 2): "READY"}
        wait_until(lambda: list_states(host) == states)
        assert maker.closed == []
        queues.running.clear()
        wait_until(lambda: maker.closed == [("parts", 1)])


def test_the_start_is_complete_when_every_model_of_it_has_answered(repository: Path, maker: Maker) -> None:
    deploy(repository, "bad", "broken")
    deploy(repository, "good", "a")
    with open_host(repository, maker) as host:
        assert not host.is_complete()
        deploy(repository, "later", "broken")  # what comes later is no reason to send requests elsewhere
        deploy(repository, "bad", "mended")
        host.look()
        assert host.is_complete()
        deploy(repository, "good", "broken")
        host.look()
        assert host.is_complete()


def test_the_start_is_complete_without_models_that_were_taken_away(repository: Path, maker: Maker) -> None:
    deploy(repository, "bad", "broken")
    with open_host(repository, maker, mode="explicit", load_at_start=["*"]) as host:
        assert not host.is_complete()
        host.unload("bad")
        assert host.is_complete()
    with open_host(repository, maker, mode="explicit") as host:
        assert host.is_complete()  # nothing was to be loaded


def test_a_repository_that_is_away_is_told_of_once_and_when_it_is_back(
    repository: Path, maker: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    away = repository.with_name("away")
    with open_host(repository, maker) as host:
        for _ in range(2):
            repository.rename(away)
            for _ in range(3):
                host.look()
            away.rename(repository)
            host.look()
            host.look()
    told = [record for record in caplog.records if "listed" in record.message]
    assert [record.levelname for record in told] == ["ERROR", "WARNING"] * 2
    assert not any(record.exc_info for record in told)


def test_what_failed_for_want_of_files_is_tried_again_once_there_are_some(
    repository: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    shortage = [True]
    monkeypatch.setattr("sightline.serving.repository.updating.are_files_short", lambda: shortage[0])
    maker.broken_now.add("parts")
    deploy(repository, "parts", "a")
    write_graph(repository, "odd", 1, "b")
    path = repository / "odd" / "config.json"
    path.mkdir()  # reading it fails
    with open_host(repository, maker) as host:
        attempts = len(maker.made)
        host.look()
        assert len(maker.made) == attempts and host.list_versions("parts") == []
        maker.broken_now.clear()
        path.rmdir()
        shortage[0] = False
        host.look()
        assert ask(host) == 1 and host.list_versions("odd") == [1]
        maker.broken_now.add("parts")
        deploy(repository, "parts", "c")
        host.look()
        attempts = len(maker.made)
        host.look()  # this one is broken, and is not tried again
        assert len(maker.made) == attempts


@pytest.mark.parametrize("verb", ["load", "reload"])
def test_a_load_or_reload_opens_what_was_touched_and_nothing_else(repository: Path, maker: Maker, verb: str) -> None:
    deploy(repository, "parts", "a")
    write_graph(repository, "plain", 1, "b")
    with open_host(repository, maker, mode="explicit", load_at_start=["*"]) as host:
        act = getattr(host, verb)
        for name, touched in (("parts", "manifest.json"), ("plain", "model.onnx")):
            before = host.acquire(name)
            host.release(before)
            act(name)
            assert host.acquire(name) is before
            host.release(before)
            os.utime(repository / name / "1" / touched, (1, 1))
            act(name)
            assert host.acquire(name) is not before
    assert len(maker.made) == 4


def write_chain(repository: Path) -> None:
    write_graph(repository, "first", 1, "a")
    write_graph(repository, "second", 1, "b")
    (repository / "chain").mkdir()
    (repository / "chain" / "pipeline.json").write_text('{"steps": [{"model": "first"}, {"model": "second"}]}')


@pytest.mark.parametrize("mode", ["poll", "explicit"])
def test_a_pipeline_whose_model_has_gone_says_so_and_answers_again_when_it_is_back(
    repository: Path, maker: Maker, mode: Any
) -> None:
    write_chain(repository)
    with open_host(repository, maker, open_pipeline=maker, mode=mode, load_at_start=["*"]) as host:
        assert ask(host, "chain") == 1
        held = host.acquire("chain")
        shutil.rmtree(repository / "second")
        with pytest.raises(NotFound):
            host.reload("second")
        with pytest.raises(Exhausted, match="'chain' cannot answer: version 1: it runs model 'second', which has gone"):
            host.read_facts("chain")
        host.release(held)
        wait_until(lambda: ("chain", 1) in maker.closed)
        (state,) = [state for state in host.index() if state.name == "chain"]
        assert state.state == "UNAVAILABLE"
        assert state.reason == "it runs model 'second', which has gone; put that back into the repository"
        write_graph(repository, "second", 1, "b")
        if mode == "poll":
            host.look()
            host.look()  # a plain file is believed when it is found twice
        else:
            host.load("second")
        assert ask(host, "chain") == 1
        assert list_states(host) == {("chain", 1): "READY", ("first", 1): "READY", ("second", 1): "READY"}


def test_a_pipeline_whose_model_is_found_missing_twice_is_taken_out_with_it(repository: Path, maker: Maker) -> None:
    write_chain(repository)
    with open_host(repository, maker, open_pipeline=maker) as host:
        shutil.rmtree(repository / "first")
        host.look()
        assert ask(host, "chain") == 1
        host.look()
        with pytest.raises(Exhausted, match="which has gone"):
            host.acquire("chain")
        assert ask(host, "second") == 1


def test_a_folder_whose_name_is_not_served_is_named_once_while_it_is_there(
    repository: Path, maker: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    def count(name: str) -> int:
        return sum(name in line and "is not served" in line for line in caplog.messages)

    bad = ["a b", "-dash", "tönne", "x" * 200, 'q"uote']
    for name in [*bad, ".hidden", ".parts.tmp1"]:
        write_graph(repository, name, 1, "a")
    (repository / "lost+found").mkdir()  # no model
    with open_host(repository, maker) as host:
        host.look()
        assert [count(repr(name)) for name in bad] == [1] * len(bad)
        assert sum("is not served" in line for line in caplog.messages) == len(bad)
        assert "folder 'a b' is not served: expected a name of letters" in caplog.text and "rename it" in caplog.text
        (repository / "a b").rename(repository / "a-b")
        host.look()
        host.look()
        assert ask(host, "a-b") == 1
        write_graph(repository, "a b", 1, "a")
        host.look()
        assert count("'a b'") == 2


def test_a_load_of_a_name_that_is_not_served_says_what_names_are(repository: Path, maker: Maker) -> None:
    write_graph(repository, "a b", 1, "a")
    with (
        open_host(repository, maker, mode="explicit") as host,
        pytest.raises(NotFound, match="no model 'a b' in the repository; a model has a name of letters"),
    ):
        host.load("a b")
