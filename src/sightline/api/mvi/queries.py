"""What narrows, orders and cuts a list: `query`, `sortby`, `skip` and `limit`, over rows as they are answered.

A query is `field op value` terms, separated by commas, all of which must hold: `metadata.width > 300, file_type == "image"`.
A row without the field fits no term but `!=`. Numbers are compared as numbers, where the row has one, everything else as text.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Query

from sightline.core.errors import InvalidInput

Row = Mapping[str, Any]
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
TERM = re.compile(
    r"""\s*(?P<field>[\w.-]+)\s*(?P<operator>==|!=|>=|<=|>|<)\s*
    (?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<number>-?\d+(?:\.\d+)?))\s*(?P<end>,|$)""",
    re.VERBOSE,
)
# Each field and each term is looked for in every row of the list, which others wait for.
LONGEST_SORTBY, LONGEST_QUERY = 200, 2000  # characters
NEWEST_FIRST = "created_at DESC"
FORM = 'field op value, with op one of == != > < >= <=, and value a number or "text"'


class Term(NamedTuple):
    """One condition. Attributes: value: a number, or text."""

    field: str
    operator: str
    value: float | str

    def fits(self, row: Row) -> bool:
        """Whether it holds for a row."""
        found = find_field(row, self.field)
        if found is None:
            return self.operator == "!="
        compare = OPERATORS[self.operator]
        if isinstance(self.value, float):
            number = read_number(found)
            return self.operator == "!=" if number is None else compare(number, self.value)
        return compare(str(found), self.value)


class Paging(NamedTuple):
    """The part of a list that is wanted."""

    sortby: str
    limit: int | None
    skip: int

    def cut(self, rows: Sequence[Row]) -> list[Row]:
        """The rows in order, of which the wanted part. Raises: InvalidInput."""
        ordered = sort_rows(rows, self.sortby)[self.skip :]
        return ordered if self.limit is None else ordered[: self.limit]


def read_paging(
    sortby: Annotated[str, Query(max_length=LONGEST_SORTBY)] = NEWEST_FIRST,
    limit: Annotated[int | None, Query(ge=0)] = None,
    skip: Annotated[int, Query(ge=0)] = 0,
) -> Paging:
    """What a request says of it."""
    return Paging(sortby, limit, skip)


QueryOf = Annotated[str | None, Query(max_length=LONGEST_QUERY)]
PagingOf = Annotated[Paging, Depends(read_paging)]


def parse_query(text: str) -> list[Term]:
    """The terms of a query. Raises: InvalidInput telling what cannot be read."""
    terms: list[Term] = []
    place = 0
    while place < len(text) or not terms:
        match = TERM.match(text, place)
        if match is None:
            raise InvalidInput(f"expected a query of terms {FORM}, got {text[place : place + 60]!r}; mend it there")
        number = match["number"]
        words = match["double"] if match["double"] is not None else match["single"]
        terms.append(Term(match["field"], match["operator"], words if number is None else float(number)))
        place = match.end()
        if match["end"] and place >= len(text.rstrip()):
            raise InvalidInput(f"expected a term after the last comma of the query {text[:60]!r}; add one or drop the comma")
    return terms


def sort_rows(rows: Sequence[Row], sortby: str) -> list[Row]:
    """Rows by one field or several, separated by commas, each with ` DESC` to have the largest first.

    Rows without the field come last; those that are equal keep their order. Raises: InvalidInput.
    """
    ordered = list(rows)
    for part in reversed(sortby.split(",")):
        field, *direction = part.split() or [""]
        if not field or [word.upper() for word in direction] not in ([], ["ASC"], ["DESC"]):
            raise InvalidInput(f"expected a sortby of FIELD or FIELD DESC, separated by commas, got {sortby[:60]!r}; mend it")
        having = [row for row in ordered if find_field(row, field) is not None]
        without = [row for row in ordered if find_field(row, field) is None]
        is_numeric = all(isinstance(find_field(row, field), int | float) for row in having)
        is_falling = bool(direction) and direction[0].upper() == "DESC"

        def key(row: Row, field: str = field, is_numeric: bool = is_numeric) -> Any:
            return find_field(row, field) if is_numeric else str(find_field(row, field)).lower()

        ordered = sorted(having, key=key, reverse=is_falling) + without
    return ordered


def find_field(row: Row, field: str) -> Any:
    """The value of a field, `metadata.width` of what lies in another; None where the row has none."""
    if field in row:  # also where there is a dot in a name
        return row[field]
    name, _, rest = field.partition(".")
    inside = row.get(name)
    return find_field(inside, rest) if rest and isinstance(inside, Mapping) else None


def read_number(value: Any) -> float | None:
    """A value as a number; None for what is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def split_list(text: str | None) -> list[str] | None:
    """The parts of a list with commas; None where nothing was sent."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]
