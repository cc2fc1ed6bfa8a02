"""Places: so many of all, half of them of one caller."""

import asyncio

import pytest

from sightline.serving.http.refusals import Refusal
from sightline.serving.v2_grpc.places import Places, Turns


def read_refusal(places, whose):
    with pytest.raises(Refusal) as refused:
        places.enter(whose)
    return refused.value.status, refused.value.detail


def test_half_of_the_places_are_one_callers():
    places = Places(4, "are taken")
    for _ in range(2):
        places.enter("a")
    assert read_refusal(places, "a") == (429, "of this key or address 2 are taken")
    with places.take("b"):
        places.enter("b")
        assert read_refusal(places, "c") == (503, "4 are taken")
        assert read_refusal(places, "a") == (429, "of this key or address 2 are taken")
    places.enter("c")
    places.leave("a")
    places.enter("a")


@pytest.mark.parametrize(("count", "status"), [(1, 503), (2, 429)])
def test_one_caller_has_at_least_one_place(count, status):
    places = Places(count, "are taken")
    with places.take("a"):
        assert read_refusal(places, "a")[0] == status
    with places.take("a"):
        pass


def test_a_turn_is_passed_on_also_by_who_gives_up():
    async def count_entered():
        turns, release, entered = Turns(2), asyncio.Event(), []

        async def take(whose):
            async with turns.take(whose):
                entered.append(whose)
                await release.wait()

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(take(whose)) for whose in ("a", "a", "b", "c")]
            await asyncio.sleep(0)
            assert entered == ["a", "b"]
            tasks[1].cancel()
            tasks[0].cancel()
            for _ in range(5):
                await asyncio.sleep(0)
            assert entered == ["a", "b", "c"]
            release.set()
        async with turns.take("a"), turns.take("b"):
            pass

    asyncio.run(count_entered())
