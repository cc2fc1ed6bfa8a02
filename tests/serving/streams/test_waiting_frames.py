import threading

from sightline.serving.streams.waiting_frames import WaitingFrames


def fill(drop: str, count: int) -> WaitingFrames[int]:
    waiting: WaitingFrames[int] = WaitingFrames(drop, 2, 1000)  # type: ignore[arg-type]
    for number in range(count):
        waiting.put(number, 1)
    return waiting


def take_all(waiting: WaitingFrames[int]) -> list[int | None]:
    waiting.ask(9)
    return [waiting.take(0) for _ in range(len(waiting))]


def test_the_oldest_gives_way() -> None:
    waiting = fill("oldest", 5)
    assert (waiting.dropped, take_all(waiting)) == (3, [3, 4])


def test_the_newest_gives_way() -> None:
    waiting = fill("newest", 5)
    assert (waiting.dropped, take_all(waiting)) == (3, [0, 1])


def test_frames_that_take_too_much_together_give_way_but_one_may_wait_whatever_it_takes() -> None:
    waiting: WaitingFrames[str] = WaitingFrames("oldest", 9, 10)
    for name, size_bytes in (("a", 4), ("b", 4), ("c", 2), ("d", 5)):
        waiting.put(name, size_bytes)
    assert (waiting.dropped, len(waiting)) == (2, 2)  # a gave way, and b: 4 + 2 + 5 is still more than 10
    waiting.put("e", 50)
    waiting.ask(9)
    assert (waiting.dropped, waiting.take(0), waiting.take(0)) == (4, "e", None)


def test_a_frame_leaves_only_when_it_was_asked_for() -> None:
    waiting = fill("oldest", 2)
    assert waiting.take(0) is None
    waiting.ask(1)
    assert [waiting.take(0), waiting.take(0)] == [0, None]


def test_none_waits_until_there_is_room_and_loses_nothing() -> None:
    waiting: WaitingFrames[int] = WaitingFrames("none", 2, 1000)
    writer = threading.Thread(target=lambda: [waiting.put(number, 1) for number in range(20)])
    writer.start()
    waiting.ask(20)
    assert [waiting.take(10) for _ in range(20)] == list(range(20))
    writer.join(10)
    assert waiting.dropped == 0


def test_closing_ends_a_take_but_keeps_what_waits() -> None:
    waiting = fill("none", 2)
    waiting.close()
    assert not waiting.is_finished
    assert take_all(waiting) == [0, 1]
    assert waiting.is_finished and waiting.take(60) is None
