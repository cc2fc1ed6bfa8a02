import pytest

from sightline.core import errors


def list_errors() -> list[type[errors.SightlineError]]:
    found, queue = [], [errors.SightlineError]
    while queue:
        found += (children := queue.pop().__subclasses__())
        queue += children
    return [one for one in found if one.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", list_errors())
def test_every_error_stands_under_exactly_one_head(kind):
    heads = [head for head in errors.HTTP_STATUS if issubclass(kind, head)]
    assert len(heads) == 1
    assert errors.find_by_head(errors.HTTP_STATUS, kind("x")) == errors.HTTP_STATUS[heads[0]]
    assert errors.find_by_head(errors.EXIT_CODE, kind("x")) == errors.EXIT_CODE[heads[0]]


def test_the_five_heads_have_the_documented_numbers():
    statuses = {head.__name__: status for head, status in errors.HTTP_STATUS.items()}
    assert statuses == {"InvalidInput": 422, "NotFound": 404, "Conflict": 409, "Unsupported": 501, "Exhausted": 503}
    assert len(set(errors.EXIT_CODE.values())) == 5
    assert not {0, 1} & set(errors.EXIT_CODE.values())  # success, and a crash


def test_the_tree_at_the_top_names_every_error():
    for kind in list_errors():
        assert kind.__name__ in errors.__doc__


def test_an_error_outside_the_tree_is_a_mistake_of_ours():
    with pytest.raises(KeyError, match="five heads"):
        errors.find_by_head(errors.HTTP_STATUS, errors.SightlineError("x"))


def test_an_error_crosses_processes_as_the_nearest_class_that_is_public() -> None:
    class Damaged(errors.CorruptFile):
        pass

    assert errors.find_public_type(errors.InvalidInput("x")) == "InvalidInput"
    assert errors.find_public_type(Damaged("x")) == "CorruptFile"
    made = errors.make_public("CorruptFile", "blob 7 is damaged")
    assert type(made) is errors.CorruptFile
    assert str(made) == "blob 7 is damaged"
    assert type(errors.make_public("", "x")) is errors.SightlineError
