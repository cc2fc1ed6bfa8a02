import pytest

from sightline.serving.scheduling.fair_share import DeviceMeter, FairShares, Share


def test_the_share_with_the_earliest_tag_is_first_and_equals_take_turns() -> None:
    shares: FairShares[Share] = FairShares()
    a, b = Share("a", 1.0), Share("b", 2.0)
    assert shares.first() is None
    for share in (a, b):
        shares.offer(share)
    order = []
    for _ in range(6):
        first = shares.first()
        assert first is not None
        order.append(first.name)
        shares.settle(first, shares.start(first, 1.0), 1.0)
    # By hand, tags after each: a 1, b 0.5, b 1.0, then a came to 1 before b: a 2, b 1.5, b 2.
    assert order == ["a", "b", "b", "a", "b", "b"]
    assert (a.used, b.used) == (2.0, 2.0)


def test_a_withdrawn_share_comes_back_at_virtual_time() -> None:
    shares: FairShares[Share] = FairShares()
    idle, busy = Share("idle", 1.0), Share("busy", 1.0)
    shares.offer(idle)
    shares.offer(busy)
    shares.withdraw(idle)
    for _ in range(10):
        assert shares.first() is busy
        shares.settle(busy, shares.start(busy, 1.0), 1.0)
    shares.offer(idle)
    assert idle.used == 9.0  # where `busy` stood when it last started
    assert shares.first() is idle


def test_the_measured_time_takes_the_place_of_the_estimate() -> None:
    shares: FairShares[Share] = FairShares()
    share = Share("a", 2.0)
    shares.offer(share)
    charge = shares.start(share, 8.0)
    assert (share.used, share.pending, share.tag) == (0.0, 4.0, 4.0)
    shares.settle(share, charge, 3.0)
    assert (share.used, share.pending, share.tag) == (1.5, 0.0, 1.5)
    charges = [shares.start(share, 4.0), shares.start(share, 6.0)]
    shares.settle(share, charges[0], 1.0)
    assert (share.used, share.pending, share.running) == (2.0, 3.0, 1)  # the other one is still estimated


def test_who_may_begin_beside_full_slots() -> None:
    shares: FairShares[Share] = FairShares()
    heavy, light = Share("heavy", 1.0), Share("light", 1.0)
    shares.offer(heavy)
    for _ in range(2):
        shares.start(heavy, 1.0)
    shares.offer(light)
    assert shares.is_behind(light, 1.9, slots=2)
    assert not shares.is_behind(light, 2.0, slots=2)  # it would then have used as much as the other: no hurry
    assert not shares.is_behind(heavy, 0.1, slots=2)  # holds two slots, is due one
    shares.start(light, 0.1)
    assert not shares.is_behind(light, 0.1, slots=2)  # holds one, is due one
    assert shares.is_behind(light, 0.1, slots=4)  # is due two


def test_entitlements_follow_who_is_active() -> None:
    shares: FairShares[Share] = FairShares()
    a, b = Share("a", 1.0), Share("b", 3.0)
    assert shares.entitle(a) == 1.0  # it would be the only one
    shares.offer(a)
    shares.offer(b)
    assert (shares.entitle(a), shares.entitle(b)) == (0.25, 0.75)
    shares.reweigh(b, 1.0)
    assert shares.entitle(a) == 0.5
    charge = shares.start(b, 1.0)
    shares.withdraw(b)
    assert shares.entitle(a) == 0.5  # it still runs
    shares.settle(b, charge, 1.0)
    assert shares.entitle(a) == 1.0


def test_nobody_begins_a_busy_period_with_a_debt_nor_credit() -> None:
    shares: FairShares[Share] = FairShares()
    a, b = Share("a", 1.0), Share("b", 1.0)
    shares.offer(a)
    shares.offer(b)
    charge = shares.start(a, 1.0)
    shares.withdraw(a)
    shares.withdraw(b)
    shares.offer(b)
    assert b.used == 0.0  # something still runs: b has not had its turn
    shares.withdraw(b)
    shares.settle(a, charge, 0.5)
    for share in (b, a):  # nothing waited or ran: both begin where the last period ended
        shares.offer(share)
    assert (a.used, b.used) == (0.5, 0.5)
    assert (shares.entitle(a), shares.entitle(b)) == (0.5, 0.5)


def test_time_used_elsewhere_is_charged_by_weight() -> None:
    shares: FairShares[Share] = FairShares()
    a, b = Share("a", 1.0), Share("b", 4.0)
    for share in (a, b):
        shares.offer(share)
    shares.charge(a, 2.0)
    assert shares.first() is b
    shares.charge(b, 12.0)
    assert (a.used, b.used) == (2.0, 3.0)
    assert shares.first() is a


def test_dead_entries_do_not_pile_up() -> None:
    shares: FairShares[Share] = FairShares()
    first, stuck, patient = Share("first", 1.0), Share("stuck", 1e-9), Share("patient", 1.0)
    for share in (first, stuck, patient):
        shares.offer(share)
    shares.charge(patient, 1e6)  # the only entry it will ever have
    shares.start(stuck, 1.0)  # from now on never first
    for _ in range(5000):
        shares.settle(first, shares.start(first, 1.0), 0.5)
        shares.settle(stuck, shares.start(stuck, 0.0), 0.0)
    assert len(shares._heap) < 60
    shares.withdraw(first)
    shares.withdraw(stuck)
    assert shares.first() is patient


@pytest.mark.parametrize(
    ("slots", "loads", "wall_s", "core_s"),
    [
        (2, [1], 3.0, 3.0),
        (2, [1, 1], 3.0, 3.0),
        (2, [1, 1, 1], 3.0, 2.0),  # three on two cores: each has two thirds of one
        (2, [2], 3.0, 6.0),  # a lone one on both cores
        (1, [1, 1], 4.0, 2.0),
    ],
)
def test_core_seconds_of_executions_that_share_the_cores(slots: int, loads: list[int], wall_s: float, core_s: float) -> None:
    meter = DeviceMeter(slots)
    readings = [meter.start(10.0, load) for load in loads]
    ended = [meter.stop(10.0 + wall_s, load, 10.0, reading, wall_s) for load, reading in zip(loads, readings, strict=True)]
    assert ended == pytest.approx([core_s] * len(loads))


def test_core_seconds_when_another_joins_half_way() -> None:
    meter = DeviceMeter(1)
    first = meter.start(0.0, 1)
    second = meter.start(2.0, 1)
    assert meter.stop(4.0, 1, 0.0, first, 4.0) == pytest.approx(3.0)  # 2 alone, then 2 at half speed
    assert meter.stop(5.0, 1, 2.0, second, 3.0) == pytest.approx(2.0)  # 2 at half speed, then 1 alone
    assert meter.stop(5.0, 0, 5.0, 0.0, 0.0) == 0.0
