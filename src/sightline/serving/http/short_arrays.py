"""Types for JSON arrays that may not be long: reading stops at the first element too many.

msgspec checks `max_length` when the whole array has been built, and millions of small objects hold up every other thread for
seconds. A struct that is written as an array ends at its last field. It takes room for all of its fields, however few come: no
field of an object whose keys a client may repeat should be one.
"""

from collections.abc import Iterator
from typing import Any, cast

import msgspec


class ShortArray(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """An array of what `make_short_array` was told."""

    def __iter__(self) -> Iterator[Any]:
        """Its elements."""
        values = (getattr(self, name) for name in self.__struct_fields__)
        return (value for value in values if value is not msgspec.UNSET)


def make_short_array(element: Any, most: int) -> type[ShortArray]:
    """The type of an array of at most so many elements, to be decoded by itself; iterate over what is read."""
    fields = [(f"element_{index}", element | msgspec.UnsetType, msgspec.UNSET) for index in range(most)]
    made = msgspec.defstruct("ShortArray", fields, bases=(ShortArray,), array_like=True, forbid_unknown_fields=True)
    return cast(type[ShortArray], made)
