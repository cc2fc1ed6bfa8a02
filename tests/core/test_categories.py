import itertools

import pytest

from sightline.core.categories import Categories, shorten
from sightline.core.errors import InvalidInput, NotFound


def test_a_name_and_its_index_find_each_other():
    categories = Categories(["cat", "dog", "bird"])
    assert [categories.index(name) for name in categories] == [0, 1, 2]
    assert categories[2] == "bird"
    assert len(categories) == 3
    assert "dog" in categories and "cow" not in categories and 1 not in categories


def test_an_unknown_name_is_not_found():
    with pytest.raises(NotFound, match="'cow'"):
        Categories(["cat"]).index("cow")


def test_names_are_unique_and_not_empty():
    with pytest.raises(InvalidInput, match="cat"):
        Categories(["cat", "dog", "cat"])
    with pytest.raises(InvalidInput, match="empty"):
        Categories(["cat", ""])


def test_equality_depends_on_the_order():
    assert Categories("ab") == Categories(["a", "b"])
    assert hash(Categories("ab")) == hash(Categories(["a", "b"]))
    assert Categories("ab") != Categories("ba")
    assert Categories("ab") != ("a", "b")


def test_there_may_be_none():
    assert list(Categories([])) == []


def test_a_short_name_is_whole_and_a_long_one_keeps_both_ends():
    assert shorten("a" * 28) == "a" * 28
    assert shorten("a rather long name of a part, number 17") == "a rather long…art, number 17"
    assert len(shorten("b" * 99, 16)) == 16


def test_neighbouring_colours_are_steady_and_far_apart():
    colours = [Categories([]).colour(index) for index in range(12)]
    assert colours == [Categories("ab").colour(index) for index in range(12)]
    assert all(0 <= value <= 255 for colour in colours for value in colour)
    for one, other in itertools.pairwise(colours):
        assert sum(abs(a - b) for a, b in zip(one, other, strict=True)) > 150


@pytest.mark.parametrize("name", ["two\nlines", "end\n", " cat", "cat ", "a\0b", "a\u2028b"])
def test_a_name_that_a_list_with_a_name_a_line_could_not_hold_is_refused(name):
    with pytest.raises(InvalidInput, match="line breaks"):
        Categories([name])
    assert Categories(["two words, 'ü' \u200d"]).index("two words, 'ü' \u200d") == 0
