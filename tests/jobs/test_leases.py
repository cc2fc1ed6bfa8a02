from sightline.jobs.leases import Lease, Leases, Needs

ALL, SHARE, NONE = Needs(cores="all"), Needs(cores="share", wants_gpu=True), Needs(cores="none")


def test_of_two_trainings_on_two_cores_one_gets_both_and_the_other_waits() -> None:
    leases = Leases([0, 1], [])
    assert leases.take("a", SHARE) == Lease(cores=(0, 1))
    assert leases.take("b", SHARE) is None
    leases.give_back("a")
    assert leases.take("b", SHARE) == Lease(cores=(0, 1))


def test_what_needs_no_core_never_waits() -> None:
    leases = Leases([0, 1], [])
    leases.take("a", ALL)
    assert leases.take("b", NONE) == Lease()


def test_each_training_gets_a_gpu_and_its_share_of_the_cores() -> None:
    leases = Leases(range(8), [0, 1])
    assert leases.take("a", SHARE) == Lease(cores=(0, 1, 2, 3), gpus=(0,))
    assert leases.take("b", SHARE) == Lease(cores=(4, 5, 6, 7), gpus=(1,))
    assert leases.take("c", SHARE) is None
    leases.give_back("a")
    assert leases.take("c", ALL) is None  # what is timed runs alone
    assert leases.take("c", SHARE) == Lease(cores=(0, 1, 2, 3), gpus=(0,))


def test_a_lease_that_does_not_fit_takes_nothing() -> None:
    leases = Leases([0, 1], [0])
    leases.take("a", ALL)
    assert leases.take("b", SHARE) is None
    assert leases.held == {"a": Lease(cores=(0, 1))}
    leases.give_back("a")
    assert leases.take("b", SHARE) == Lease(cores=(0, 1), gpus=(0,))


def test_the_lease_of_a_job_that_runs_already_is_taken_into_account() -> None:
    leases = Leases([0, 1], [])
    leases.restore("a", Lease(cores=(0, 1)))
    assert leases.take("b", ALL) is None
    leases.give_back("unknown")
