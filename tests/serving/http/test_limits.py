import pytest

from sightline.core.errors import InvalidInput
from sightline.serving.http.limits import Quota, TokenBucket, take_turn
from sightline.serving.http.refusals import Refusal


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def enter(quota: Quota) -> None:
    quota.spend()
    quota.begin()


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    clock = Clock()
    bucket = TokenBucket(2.0, burst=3, clock=clock)
    assert [bucket.take() for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]  # 3 at once; the next token after 1 / 2 s
    clock.now_s += 0.25
    assert bucket.take() == pytest.approx(0.25)
    clock.now_s += 0.25
    assert bucket.take() == 0.0
    clock.now_s += 1000  # it never holds more than its burst
    assert [bucket.take() for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_ten_seconds_of_a_bucket_are_ten_times_its_rate() -> None:
    clock = Clock()
    bucket = TokenBucket(5.0, burst=1, clock=clock)
    taken = 0
    for _ in range(10_000):
        taken += bucket.take() == 0.0
        clock.now_s += 0.001
    assert taken == pytest.approx(50, abs=1)


def test_a_slow_rate_still_admits_one() -> None:
    assert TokenBucket(0.1, clock=Clock()).take() == 0.0


@pytest.mark.parametrize(("rate", "burst"), [(0.0, None), (-1.0, None), (float("nan"), None), (float("inf"), None), (1.0, 0.5)])
def test_rates_that_are_none_are_refused(rate: float, burst: float | None) -> None:
    with pytest.raises(InvalidInput, match="rate above 0"):
        TokenBucket(rate, burst)


def test_a_quota_bounds_what_runs_at_once() -> None:
    quota = Quota(max_concurrent=2)
    enter(quota)
    enter(quota)
    with pytest.raises(Refusal) as refused:
        enter(quota)
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "1"})
    quota.leave()
    enter(quota)
    assert quota.running == 2


def test_a_quota_that_is_too_fast_says_when_to_come_again() -> None:
    clock = Clock()
    quota = Quota(TokenBucket(0.1, clock=clock))
    enter(quota)
    with pytest.raises(Refusal) as refused:
        enter(quota)
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "10"})
    assert quota.running == 1  # the refused one is not to be left


def test_a_frame_leaves_a_token_to_requests_where_there_is_room_for_two() -> None:
    clock = Clock()
    quota = Quota(TokenBucket(1.0, burst=2, clock=clock))
    assert [quota.enter_frame() for _ in range(2)] == [True, False]
    enter(quota)
    lone = Quota(TokenBucket(1.0, burst=1, clock=clock))
    assert [lone.enter_frame() for _ in range(2)] == [True, False]


def test_who_rests_takes_no_place() -> None:
    quota = Quota(max_concurrent=1)
    enter(quota)
    assert not quota.enter_frame()
    with quota.rest():
        assert quota.enter_frame()
        quota.leave_frame()
    assert (quota.running, quota.frames) == (1, 0)


def test_frames_begin_within_the_number_at_once_and_keep_no_request_out() -> None:
    quota = Quota(max_concurrent=2)
    enter(quota)
    assert [quota.enter_frame() for _ in range(2)] == [True, False]
    enter(quota)
    with pytest.raises(Refusal):
        enter(quota)
    quota.leave_frame()
    assert not quota.enter_frame()


def test_a_turn_of_all_that_is_refused_takes_nothing_of_a_callers_own() -> None:
    clock = Clock()
    quota, bucket = Quota(TokenBucket(1.0, burst=2, clock=clock)), TokenBucket(0.1, clock=clock)
    take_turn(quota, bucket)
    for _ in range(2):
        with pytest.raises(Refusal) as refused:
            take_turn(quota, bucket)
        assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "10"})
    take_turn(quota, None)
    with pytest.raises(Refusal) as refused:
        take_turn(quota, None)
    assert refused.value.status == 429


def test_who_is_beyond_its_own_rate_takes_no_turn_of_all() -> None:
    clock = Clock()
    quota, bucket = Quota(TokenBucket(0.1, clock=clock)), TokenBucket(1.0, burst=2, clock=clock)
    take_turn(quota, bucket)
    with pytest.raises(Refusal):
        take_turn(quota, bucket)
    assert bucket.take() == 0.0
