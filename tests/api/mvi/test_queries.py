import pytest

from sightline.api.mvi.queries import Paging, Term, find_field, parse_query, sort_rows
from sightline.core.errors import InvalidInput

ROWS = [
    {"name": "b", "size": 10, "metadata": {"width": 640, "taken": "20200622113447"}},
    {"name": "a", "size": 9, "metadata": {"width": "320"}},
    {"name": "C", "size": 100},
]


def find(query: str) -> list[str]:
    return [row["name"] for row in ROWS if all(term.fits(row) for term in parse_query(query))]


def test_terms_are_read_as_they_stand() -> None:
    assert parse_query('metadata.inspection_date > 20210302,user_metadata.Timestamp >= "2020, 06",n != -1.5') == [
        Term("metadata.inspection_date", ">", 20210302.0),
        Term("user_metadata.Timestamp", ">=", "2020, 06"),
        Term("n", "!=", -1.5),
    ]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("size > 9", ["b", "C"]),  # as numbers: as text, "10" is less than "9"
        ("size >= 9, size < 100", ["b", "a"]),
        ("size == 10.0", ["b"]),
        ("name == 'a'", ["a"]),
        ('name != "a"', ["b", "C"]),
        ("metadata.width <= 320", ["a"]),  # text that is a number, and nothing of the one without the field
        ("metadata.width != 320", ["b", "C"]),
        ('metadata.taken > "20200101"', ["b"]),
        ("name > 5", []),
        ("name != 5", ["b", "a", "C"]),
        ("name.first == 5", []),
    ],
)
def test_rows_fit_or_do_not(query: str, found: list[str]) -> None:
    assert find(query) == found


@pytest.mark.parametrize(
    "query", [" ", "size", "size = 3", "size > ", "size > abc", "size > 3,", "size > 3 name == 2", '"a" == 3']
)
def test_what_is_no_query_is_refused_with_the_place(query: str) -> None:
    with pytest.raises(InvalidInput, match="expected a"):
        parse_query(query)


def test_rows_are_sorted_by_several_fields_each_in_its_direction() -> None:
    rows = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 2, "b": "X"}, {"b": "z"}]
    assert sort_rows(rows, "a DESC, b") == [rows[2], rows[1], rows[0], rows[3]]  # without the field: last
    assert sort_rows(rows, "a desc") == [rows[1], rows[2], rows[0], rows[3]]  # equal ones keep their order
    for wrong in ("", "a DOWN", "a DESC b", "a,,b"):
        with pytest.raises(InvalidInput, match="sortby"):
            sort_rows(rows, wrong)


def test_a_part_is_cut_after_sorting() -> None:
    assert [row["name"] for row in Paging("size", 2, 1).cut(ROWS)] == ["b", "C"]
    assert Paging("size", None, 3).cut(ROWS) == [] == Paging("size", 0, 0).cut(ROWS)


def test_a_field_may_lie_in_another() -> None:
    assert find_field(ROWS[0], "metadata.width") == 640
    assert find_field({"user_metadata": {"lens.f": "8", "lens": 1}}, "user_metadata.lens.f") == "8"
    assert find_field(ROWS[0], "metadata.height") is None is find_field(ROWS[0], "size.width")
