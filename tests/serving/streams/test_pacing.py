import pytest

from sightline.serving.streams.pacing import CatchUp, FrameSelector, Pacer, PresentationOrder, Restraint


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def choose_all(selector: FrameSelector, times_s: list[float]) -> list[int]:
    return [place for place, time_s in enumerate(times_s) if selector.choose(time_s)[0]]


def test_five_of_thirty_frames_a_second_are_every_sixth() -> None:
    times_s = [number / 30 for number in range(31)]
    assert choose_all(FrameSelector(5, frame_s=1 / 30), times_s) == [0, 6, 12, 18, 24, 30]


def test_without_a_rate_every_frame_is_wanted() -> None:
    assert choose_all(FrameSelector(None), [0.0, 0.1, 0.2]) == [0, 1, 2]


def test_a_rate_above_the_videos_takes_every_frame_and_misses_none() -> None:
    selector = FrameSelector(50, frame_s=0.1)
    assert [selector.choose(time_s) for time_s in (0.0, 0.1, 0.2)] == [(True, 0)] * 3


def test_slots_count_from_the_first_frame_wherever_it_starts() -> None:
    assert choose_all(FrameSelector(1), [7.3, 7.8, 8.2, 8.3, 9.0, 9.3]) == [0, 3, 5]


def test_a_rounded_clock_does_not_skip_the_frame_that_is_meant() -> None:
    # Matroska's milliseconds: at 30 frames/s frame 6 is shown at 0.2 s, but 0.199 after rounding down.
    assert choose_all(FrameSelector(5, tick_s=0.002), [0.0, 0.166, 0.199, 0.233]) == [0, 2]


def test_missed_slots_are_counted() -> None:
    selector = FrameSelector(10, frame_s=0.05)
    assert selector.choose(0.0) == (True, 0)
    assert selector.choose(0.45) == (True, 3)  # slots 1, 2 and 3 passed without a frame


def test_a_video_that_begins_again_is_chosen_from_again() -> None:
    assert choose_all(FrameSelector(1), [50.0, 50.5, 51.0, 0.0, 0.5, 1.0]) == [0, 2, 3, 5]


def test_needless_packets_are_those_that_are_not_first_in_their_slot() -> None:
    selector = FrameSelector(5, tick_s=1 / 1000, frame_s=1 / 30)
    assert not selector.is_needless(0.1)  # nothing was decoded yet: not known
    selector.choose(0.0)
    needless = [number for number in range(13) if selector.is_needless(number / 30)]
    assert needless == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]  # 0, 6, 12 are wanted


def test_packets_come_in_order_of_decoding_and_none_is_needless_before_the_first_of_its_slot_is_kept() -> None:
    selector = FrameSelector(5, tick_s=1 / 1000)
    selector.choose(0.0)
    asked_s = (0.4, 0.3, 0.25, 0.35, 0.6, 0.45, 0.2, 0.27)  # in slots 2, 1, 1, 1, 3, 2, 1, 1
    assert [selector.is_needless(time_s) for time_s in asked_s] == [False, False, False, True, False, True, False, True]
    assert selector.choose(0.2) == (True, 0)
    assert selector.is_needless(0.39) and not selector.is_needless(0.1)  # that one would come late: a time that runs backwards


def test_no_wanted_frame_is_needless_at_a_rate_that_changes() -> None:
    times_s = [number / 30 for number in range(90)] + [3.0 + 0.2 * number + 0.01 * (number % 3) for number in range(1, 30)]
    reordered = [
        place for start in range(1, len(times_s), 3) for place in (start + 2, start, start + 1) if place < len(times_s)
    ]
    for rate in (2, 4, 5, 8, 10, 12):
        selector, needless, shown = FrameSelector(rate, tick_s=1e-3, frame_s=0.076), set(), 0
        wanted = choose_all(FrameSelector(rate, tick_s=1e-3, frame_s=0.076), times_s)
        for read, place in enumerate([0, *reordered]):  # a P frame, then the two B frames before it
            needless |= {place} if selector.is_needless(times_s[place]) else set()
            while shown < read - 3:  # frames come some packets later
                selector.choose(times_s[shown])
                shown += 1
        assert not needless & set(wanted) and len(needless) > 10, rate


def test_needless_never_hits_a_chosen_frame_at_any_rate() -> None:
    for rate in (0.5, 1, 3, 5, 7.5, 12, 29.97, 30, 60):
        selector = FrameSelector(rate, tick_s=1 / 90000, frame_s=1 / 29.97)
        for number in range(300):
            time_s = round(number / 29.97 * 90000) / 90000
            needless = selector.is_needless(time_s)
            assert not (selector.choose(time_s)[0] and needless), (rate, number)


def test_a_files_frames_are_due_as_far_apart_as_their_times() -> None:
    clock = Clock()
    pacer = Pacer(clock, is_live=False)
    assert pacer.find_due_s(5.0) == 100.0
    clock.now_s = 103.0
    assert pacer.find_due_s(5.5) == 100.5
    assert pacer.find_lag_s(5.5) == 2.5
    assert pacer.find_lag_s(9.0) == 0.0


def test_the_frame_of_a_camera_that_came_soonest_sets_the_time() -> None:
    clock = Clock()
    pacer = Pacer(clock, is_live=True)
    pacer.find_due_s(0.0)  # came 0.4 s late
    clock.now_s = 100.6
    assert pacer.find_due_s(1.0) == pytest.approx(100.6)
    clock.now_s = 101.9
    assert pacer.find_due_s(2.0) == pytest.approx(101.6)
    assert pacer.find_lag_s(2.0) == pytest.approx(0.3)


def test_a_source_that_stopped_is_due_when_it_goes_on() -> None:
    clock = Clock()
    pacer = Pacer(clock, is_live=True)
    pacer.find_due_s(0.0)
    clock.now_s = 130.0
    pacer.restart()
    assert pacer.find_lag_s(0.1) == 0.0
    assert pacer.find_due_s(0.1) == 130.0


def test_what_is_left_out_grows_with_the_lag_and_returns_with_a_key_frame() -> None:
    catch_up = CatchUp()
    lags = [(0.2, False), (1.5, False), (6.0, False), (3.0, True), (0.5, False), (0.5, True), (0.5, False)]
    assert [catch_up.find_skip(*lag) for lag in lags] == [
        "DEFAULT", "NONREF", "NONKEY", "NONKEY", "NONKEY", "DEFAULT", "DEFAULT",
    ]  # fmt: skip


def test_who_computes_for_a_second_and_sends_nothing_gets_a_quarter_of_a_core() -> None:
    clock = Clock()
    restraint = Restraint(clock)
    rests_s = []
    for used_s in (0.5, 0.5, 0.25, 2.0):
        clock.now_s += used_s
        rests_s.append(restraint.find_rest_s())
    assert rests_s == [0.0, 0.0, 0.75, 6.0]
    restraint.note_sent()
    clock.now_s += 1.0
    assert restraint.find_rest_s() == 0.0


def test_frames_are_numbered_as_they_are_shown() -> None:
    order = PresentationOrder()
    for pts in (0, 3, 1, 2):  # I P B B, as packets come
        order.add_packet(pts)
    assert [order.take_index(pts) for pts in (0, 1, 2, 3)] == [0, 1, 2, 3]


def test_frames_that_were_not_decoded_keep_their_numbers() -> None:
    order = PresentationOrder()
    for pts in (0, 3, 1, 2, 6, 4, 5):
        order.add_packet(pts)
    assert [order.take_index(pts) for pts in (0, 3, 6)] == [0, 3, 6]


def test_frames_without_times_are_counted() -> None:
    order = PresentationOrder()
    assert [order.take_index(None) for _ in range(3)] == [0, 1, 2]
