import pytest

from sightline.core.errors import InvalidInput
from sightline.training.recipe import make_recipe
from sightline.training.sizing import choose_input_size, round_up


@pytest.mark.parametrize(
    ("task", "changes", "pictures", "expected"),
    [
        ("detection", {"size": 320}, [(640, 480)] * 3, (320, 256)),  # 240 rounds up to 256
        ("semantic", {"size": 480}, [(480, 360)], (480, 384)),
        ("semantic", {"size": 100}, [(300, 600)], (64, 128)),
        ("semantic", {"size": 256}, [(10, 10), (40, 10), (20, 10)], (256, 128)),  # the median aspect, 2
        ("classification", {"size": 100}, [(640, 480)], (128, 128)),
        ("classification", {}, [], (160, 160)),
        ("detection", {"width": 96, "height": 64, "size": 320}, [], (96, 64)),
    ],
)
def test_the_input_follows_the_pictures_aspect(task: str, changes: dict[str, int], pictures, expected) -> None:
    assert choose_input_size(make_recipe(task, **changes), pictures) == expected


def test_no_pictures_give_no_size() -> None:
    with pytest.raises(InvalidInput, match="train_splits"):
        choose_input_size(make_recipe("semantic"), [])


def test_rounding_up_forgives_rounding_errors() -> None:
    assert round_up(64.0000001, 32) == 64
    assert round_up(65, 32) == 96
    assert round_up(0.1, 32) == 32
