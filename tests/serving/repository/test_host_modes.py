from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from repository_fakes import FakeModel, Maker, ask, deploy, list_states, open_host, write_graph
from waiting import wait_until

from sightline.core.errors import Conflict, Exhausted, InvalidInput, NotFound


class TestExplicitMode:
    def test_nothing_is_loaded_but_what_is_named(self, repository: Path, maker: Maker) -> None:
        for name in ("first", "second"):
            deploy(repository, name, "a")
        with open_host(repository, maker, mode="explicit", load_at_start=["second"]) as host:
            assert list_states(host) == {("first", 1): "UNAVAILABLE", ("second", 1): "READY"}
            assert {state.name: state.reason for state in host.index()} == {"first": "not loaded", "second": ""}
            with pytest.raises(NotFound):
                host.acquire("first")
            host.load("first")
            assert ask(host, "first") == 1
            host.unload("first")
            host.unload("first")  # once more is no error: it is what was asked for
            with pytest.raises(NotFound):
                host.acquire("first")
            assert maker.closed == [("first", 1)]
            for call in (host.load, host.unload):
                for name in ("nowhere", "../repository", ""):
                    with pytest.raises(NotFound):
                        call(name)

    def test_a_star_loads_all_and_a_broken_or_unknown_name_is_told(self, repository: Path, maker: Maker) -> None:
        deploy(repository, "good", "a")
        deploy(repository, "bad", "broken")
        with open_host(repository, maker, start=False, mode="explicit", load_at_start=["*"]) as host:
            assert host.start() == ["good"]
        with open_host(repository, maker, start=False, mode="explicit", load_at_start=["bad", "good"]) as host:
            assert host.start() == ["good"]
        unknown = open_host(repository, maker, start=False, mode="explicit", load_at_start=["typo"])
        with unknown as host, pytest.raises(NotFound, match="typo"):
            host.start()

    def test_a_given_configuration_replaces_the_file_until_the_next_load(self, repository: Path, maker: Maker) -> None:
        write_graph(repository, "parts", 1, "a", {"sightline": {"weight": 2}})
        with open_host(repository, maker, mode="explicit") as host:
            host.load("parts", {"sightline": {"weight": 7}, "max_batch_size": 3, "dynamic_batching": {}})
            queue = host.acquire("parts").queue
            assert (queue.weight, queue.max_batch) == (7, 3)
            with pytest.raises(InvalidInput, match=r"^the configuration given: sightline: object contains unknown field"):
                host.load("parts", {"sightline": {"nonsense": 1}})
            assert host.acquire("parts").queue.weight == 7
            host.load("parts")
            assert host.acquire("parts").queue.weight == 2

    def test_a_deployment_that_was_rolled_back_stays_so_by_its_configuration(self, repository: Path, maker: Maker) -> None:
        deploy(repository, "parts", "a")
        manifest = (repository / "parts" / "manifest.json").read_bytes()
        deploy(repository, "parts", "b")
        with open_host(repository, maker, mode="explicit") as host:
            host.load("parts")
            assert host.describe_configuration("parts")["version_policy"] == {"latest": {"num_versions": 1}}
            (repository / "parts" / "manifest.json").write_bytes(manifest)
            host.load("parts")
            described = host.describe_configuration("parts")
            assert described["version_policy"] == {"specific": {"versions": [1]}}
            host.load("parts", described)
            assert host.list_versions("parts") == [1]

    def test_a_failed_load_says_why_and_keeps_what_was_loaded(self, repository: Path, maker: Maker) -> None:
        folder = write_graph(repository, "parts", 1, "a")
        with open_host(repository, maker, mode="explicit") as host:
            host.load("parts")
            (folder / "model.onnx").write_text("broken")
            with pytest.raises(InvalidInput, match="failed to load 'parts': version 1: the engine cannot read parts/1/model"):
                host.load("parts")
            (state,) = host.index()
            assert state.state == "READY" and "cannot read" in state.reason
            assert ask(host) == 1

    def test_a_version_unloaded_in_flight_still_answers_its_holders(self, repository: Path, maker: Maker) -> None:
        deploy(repository, "parts", "a")
        with open_host(repository, maker, mode="explicit", load_at_start=["parts"]) as host:
            held = host.acquire("parts")
            host.unload("parts")
            assert isinstance(held, FakeModel) and held.is_resident
            assert list_states(host) == {("parts", 1): "UNLOADING"}
            host.load("parts")
            assert list_states(host) == {("parts", 1): "READY"}
            assert host.acquire("parts") is not held
            host.release(held)
            wait_until(lambda: maker.closed == [("parts", 1)])

    def test_concurrent_loads_and_unloads_of_one_model_take_turns(self, repository: Path, maker: Maker) -> None:
        deploy(repository, "parts", "slow")
        with open_host(repository, maker, mode="explicit") as host, ThreadPoolExecutor(3) as pool:
            load = pool.submit(host.load, "parts")
            assert maker.entered.wait(20)
            unload, again = pool.submit(host.unload, "parts"), pool.submit(host.load, "parts")
            assert not load.done() and not unload.done()
            maker.gate.set()
            for call in (load, unload, again):
                call.result(20)
            assert len(maker.opened) <= 1

    @pytest.mark.parametrize("mode", ["none", "poll"])
    def test_other_modes_refuse_load_and_unload(self, repository: Path, maker: Maker, mode: str) -> None:
        deploy(repository, "parts", "a")
        with open_host(repository, maker, mode=mode) as host:
            for call in (host.load, host.unload):
                with pytest.raises(Conflict, match="explicit model load / unload is not allowed"):
                    call("parts")
            assert ask(host) == 1

    def test_a_server_that_loads_once_does_not_look_again(self, repository: Path, maker: Maker) -> None:
        deploy(repository, "parts", "a")
        with open_host(repository, maker, mode="none", check_every_s=0.001) as host:
            deploy(repository, "parts", "b")
            with pytest.raises(Conflict):
                host.reload("parts")
            assert ask(host) == 1


class TestPipelines:
    def write(self, repository: Path, name: str, *models: str) -> None:
        (repository / name).mkdir()
        steps = ", ".join(f'{{"model": "{model}"}}' for model in models)
        (repository / name / "pipeline.json").write_text(f'{{"steps": [{steps}]}}')

    def test_they_need_an_opener(self, repository: Path, maker: Maker) -> None:
        self.write(repository, "chain", "parts")
        with open_host(repository, maker) as host:
            (state,) = host.index()
            assert (state.name, state.version, state.state, state.reason) == (
                "chain",
                1,
                "UNAVAILABLE",
                "pipelines are not enabled",
            )

    def test_they_are_opened_after_their_steps(self, repository: Path, maker: Maker) -> None:
        self.write(repository, "a-chain", "parts")
        deploy(repository, "parts", "a")
        order: list[str] = []

        def note(open_one: Callable[..., FakeModel]) -> Callable[..., FakeModel]:
            def make(source: object) -> FakeModel:
                order.append(source.name)  # type: ignore[attr-defined]
                return open_one(source)

            return make

        with open_host(repository, note(maker), open_pipeline=note(maker)) as host:
            assert order == ["parts", "a-chain"]
            assert ask(host, "a-chain") == 1

    def test_one_that_failed_is_tried_again_when_something_changed(self, repository: Path, maker: Maker) -> None:
        self.write(repository, "chain", "parts")
        maker.broken_now.add("chain")
        with open_host(repository, maker, open_pipeline=maker) as host:
            with pytest.raises(Exhausted):
                host.acquire("chain")
            maker.broken_now.clear()
            host.look()
            with pytest.raises(Exhausted):
                host.acquire("chain")
            deploy(repository, "parts", "a")
            host.look()
            assert ask(host, "chain") == 1

    def test_loading_one_loads_its_steps_and_unloading_may_take_them_along(self, repository: Path, maker: Maker) -> None:
        for name in ("find", "sort", "shared"):
            deploy(repository, name, "a")
        self.write(repository, "chain", "find", "sort", "shared")
        self.write(repository, "other", "shared")
        self.write(repository, "circle", "circle", "round")
        self.write(repository, "round", "circle")
        with open_host(repository, maker, mode="explicit", open_pipeline=maker) as host:
            host.load("chain")
            host.load("other")
            assert {name for name, _ in maker.opened} == {"chain", "other", "find", "sort", "shared"}
            with pytest.raises(Conflict, match="'shared' is used by chain, other"):
                host.unload("shared")
            host.unload("chain", with_dependents=True)
            assert {name for name, _ in maker.opened} == {"other", "shared"}
            host.unload("other")
            assert {name for name, _ in maker.opened} == {"shared"}
            host.load("circle")  # a circle is for the opener to refuse; it must not hang
            with pytest.raises(InvalidInput, match=r"takes its configuration from the config\.json beside it"):
                host.load("chain", {})

    def test_loading_one_tries_its_failed_steps_again(self, repository: Path, maker: Maker) -> None:
        write_graph(repository, "parts", 1, "broken")
        self.write(repository, "chain", "parts")
        with open_host(repository, maker, mode="explicit", open_pipeline=maker) as host:
            for _ in range(2):
                with pytest.raises(InvalidInput, match="failed to load 'parts': version 1: the engine cannot read"):
                    host.load("chain")
            write_graph(repository, "parts", 1, "a")
            host.load("chain")
            assert ask(host) == ask(host, "chain") == 1

    def test_one_is_loaded_with_an_old_step_whose_new_version_fails(self, repository: Path, maker: Maker) -> None:
        write_graph(repository, "parts", 1, "a")
        self.write(repository, "chain", "parts")
        with open_host(repository, maker, mode="explicit", open_pipeline=maker) as host:
            host.load("parts")
            write_graph(repository, "parts", 1, "broken")
            with pytest.raises(InvalidInput, match="failed to load 'parts'"):
                host.load("parts")
            host.load("chain")
            assert ask(host) == ask(host, "chain") == 1
