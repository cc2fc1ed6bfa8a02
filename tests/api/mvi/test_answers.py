import pytest

from sightline.api.mvi.answers import fit_name, read_moment
from sightline.core.errors import InvalidInput


@pytest.mark.parametrize(
    ("name", "fitting"),
    [
        ("parts", "parts"),
        ("Metal parts (2026)", "Metal-parts-2026"),
        ("../../etc/passwd", "etc-passwd"),
        ("größe", "gr-e"),
        ("a" * 200, "a" * 100),
        ("v1.2_final", "v1.2_final"),
    ],
)
def test_a_name_is_made_fit(name: str, fitting: str) -> None:
    assert fit_name(name) == fitting


@pytest.mark.parametrize("name", ["", "...", "(!)", "中文"])
def test_a_name_of_which_nothing_is_left_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="letters or digits"):
        fit_name(name)


def test_moments_are_milliseconds() -> None:
    assert read_moment("1970-01-01T00:00:01.500+00:00") == 1500
    assert read_moment("1970-01-01T01:00:00+01:00") == 0
    assert read_moment(None) is None
