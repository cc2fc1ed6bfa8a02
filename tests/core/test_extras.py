import pytest

from sightline.core.errors import MissingPackage
from sightline.core.extras import check_packages, find_missing, tell_remedy


def test_a_package_within_another_that_is_missing_is_missing() -> None:
    assert find_missing(["numpy", "absent_one", "absent_two.inside", "google.absent"]) == [
        "absent_one",
        "absent_two.inside",
        "google.absent",
    ]


def test_the_line_names_what_is_missing_and_how_to_install_it() -> None:
    check_packages("drawing", ["numpy"], "draw")
    with pytest.raises(MissingPackage) as caught:
        check_packages("drawing", ["numpy", "absent_one", "absent_two"], "draw")
    assert str(caught.value) == "drawing needs absent_one, absent_two; pip install 'sightline[draw]'"


def test_what_the_base_install_lacks_needs_no_extra() -> None:
    assert tell_remedy("") == "pip install sightline"
