"""An ordered list of category names: the only place where a name meets its index and its colour."""

import colorsys
from collections.abc import Iterable, Iterator

from sightline.core.errors import InvalidInput, NotFound

GOLDEN_RATIO = 0.618033988749895


def shorten(name: str, longest: int = 28) -> str:
    """A name as the label of a plot: the middle of a long one is cut out, since related names mostly differ at their ends."""
    return name if len(name) <= longest else f"{name[: longest // 2 - 1]}…{name[-longest // 2 :]}"


class Categories:
    """Unique, ordered category names. The index of a name is what networks and label maps use.

    Example: `Categories(["cat", "dog"]).index("dog") == 1`.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self._index = {name: index for index, name in enumerate(self.names)}
        if len(self._index) != len(self.names):
            twice = sorted({name for name in self.names if self.names.count(name) > 1})
            raise InvalidInput(f"category names must be unique, got {twice} more than once; rename or merge them")
        if "" in self._index:
            raise InvalidInput("category names must not be empty; name the category")
        for name in self.names:
            # Lists of names, a line each, could not hold others.
            if name.splitlines() != [name] or "\0" in name or name != name.strip():
                raise InvalidInput(
                    f"category names must not hold line breaks nor begin or end with a space, got {name!r}; rename it"
                )

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def __getitem__(self, index: int) -> str:
        return self.names[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Categories) and self.names == other.names

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return f"Categories({list(self.names)!r})"

    def index(self, name: str) -> int:
        """Index of a name, 0..len-1. Raises: NotFound when there is no such category."""
        try:
            return self._index[name]
        except KeyError:
            raise NotFound(f"category {name!r} is not one of {list(self.names)}") from None

    def colour(self, index: int) -> tuple[int, int, int]:
        """A steady, well-spread RGB colour 0..255 for drawing category `index`: hues a golden ratio apart."""
        red, green, blue = colorsys.hsv_to_rgb((index * GOLDEN_RATIO) % 1.0, 0.75, 0.95)
        return round(red * 255), round(green * 255), round(blue * 255)
