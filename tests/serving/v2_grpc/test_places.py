"""Places: so many of all, half of them of one caller."""

import pytest

from sightline.serving.http.refusals import Refusal
from sightline.serving.v2_grpc.places import Places


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
