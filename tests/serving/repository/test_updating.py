"""What changes while something runs, is held, or waits for its turn."""

from pathlib import Path

from repository_fakes import FakeQueues, Maker, deploy, list_states, open_host, wait_until


def test_an_old_version_that_still_runs_for_nobody_is_closed_when_that_ends_and_holds_up_no_load(
    repository: Path, maker: Maker
) -> None:
    queues = FakeQueues()
    deploy(repository, "parts", "a")
    with open_host(repository, maker, queues, check_every_s=0.01) as host:
        queues.running.add("parts")
        deploy(repository, "parts", "b")
        deploy(repository, "other", "c")
        wait_until(lambda: {("parts", 2), ("other", 1)} <= set(maker.opened))
        assert list_states(host) == {("other", 1): "READY", ("parts", 1): "UNLOADING", ("parts", 2): "READY"}
        assert maker.closed == []
        queues.running.clear()
        wait_until(lambda: maker.closed == [("parts", 1)])
