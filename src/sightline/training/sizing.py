"""The network's input size, when the recipe names only its longest side: the other side follows the pictures' usual aspect."""

import statistics
from collections.abc import Iterable

from sightline.core.errors import InvalidInput
from sightline.models.table import find_row, resolve_network
from sightline.training.recipe import Recipe

SIZES_LOOKED_AT = 1000
SQUARE_TASKS = ("classification", "multilabel")


def choose_input_size(recipe: Recipe, picture_sizes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Width and height of the input, pixels, both multiples of what the network takes.

    Classification uses squares, as published networks do. Other tasks take the median aspect of the pictures, so that few
    pixels are spent on bands: 640x480 pictures at size 320 give 320x256 where multiples of 32 are wanted.

    Args:
        recipe: width and height win, then size, then the network's usual size.
        picture_sizes: `(width, height)` of the training pictures.

    Raises:
        InvalidInput: when there are no pictures to look at.
    """
    if recipe.width is not None and recipe.height is not None:
        return recipe.width, recipe.height
    row = find_row(resolve_network(recipe.task, recipe.network))
    longest = round_up(recipe.size or row.size, row.multiple)
    if recipe.task in SQUARE_TASKS:
        return longest, longest
    aspects = [width / height for (width, height), _ in zip(picture_sizes, range(SIZES_LOOKED_AT), strict=False)]
    if not aspects:
        raise InvalidInput("expected at least one picture in the training splits, got none; check the recipe's train_splits")
    aspect = statistics.median(aspects)
    width, height = (longest, longest / aspect) if aspect >= 1 else (longest * aspect, longest)
    return round_up(width, row.multiple), round_up(height, row.multiple)


def round_up(value: float, multiple: int) -> int:
    """The smallest multiple that is at least `value`, but for rounding errors of a thousandth."""
    return max(1, -int(-(value - 1e-3) // multiple)) * multiple
