import asyncio

from sightline.serving.streams.events import EventLog, format_sse


def fill(log: EventLog, count: int) -> EventLog:
    for number in range(count):
        log.append("frame", b"%d" % number)
    return log


def read(log: EventLog, after: int) -> tuple[list[int], int]:
    events, lost = log.read_after(after, most=64)
    return [event.number for event in events], lost


def test_a_viewer_goes_on_behind_what_it_has_seen() -> None:
    log = fill(EventLog(), 4)
    assert read(log, 0) == ([1, 2, 3, 4], 0)
    assert read(log, 3) == ([4], 0)
    assert read(log, 4) == ([], 0)


def test_a_slow_viewer_loses_the_oldest_and_is_told_how_many() -> None:
    log = fill(EventLog(most_events=3), 10)
    assert read(log, 0) == ([8, 9, 10], 7)
    assert read(log, 5) == ([8, 9, 10], 2)
    assert read(log, 8) == ([9, 10], 0)


def test_bytes_are_bounded_but_the_latest_event_is_kept() -> None:
    log = EventLog(most_bytes=10)
    for size in (4, 4, 4, 50):
        log.append("frame", b"x" * size)
    assert read(log, 0) == ([4], 3)


def test_a_number_that_was_never_given_starts_from_the_beginning() -> None:
    assert read(fill(EventLog(), 2), 99) == ([1, 2], 0)


def test_an_empty_log_has_nothing() -> None:
    assert read(EventLog(), 0) == ([], 0)


def test_events_come_in_portions() -> None:
    log = fill(EventLog(), 100)
    assert [len(log.read_after(after, most=64)[0]) for after in (0, 64, 100)] == [64, 36, 0]


def test_followers_wake_keep_alive_and_end() -> None:
    async def follow() -> list[tuple[list[int], int]]:
        log = fill(EventLog(), 1)
        seen = []
        async for events, lost in log.follow(0, keep_alive_s=0.001, most=64):
            seen.append(([event.number for event in events], lost))
            if not events and not log.is_closed:  # nothing came for a while
                log.append("end", b"2")
                log.close()
        return seen

    seen = asyncio.run(follow())
    assert seen[0] == ([1], 0) and seen[1] == ([], 0) and seen[-1] == ([2], 0)


def test_the_wire_form_is_that_of_server_sent_events() -> None:
    log = fill(EventLog(most_events=1), 2)
    assert format_sse(*log.read_after(0, most=64)) == (
        b'event: lost\ndata: {"type":"lost","count":1}\n\nid: 2\nevent: frame\ndata: 1\n\n'
    )
    assert format_sse([], 0) == b": keep-alive\n\n"
