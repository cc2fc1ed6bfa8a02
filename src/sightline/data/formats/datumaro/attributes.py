"""An annotation's attributes: text to text here, truth values, numbers and text in Datumaro. Text is what the two agree on."""

import math
from typing import Any

from sightline.data.conversion import replace_surrogates

LONGEST_NUMBER = 15  # characters


def read_text(value: Any) -> str:
    """A value as text: `true`, `7`, `0.5`, and text as it is."""
    return str(value).lower() if isinstance(value, bool) else replace_surrogates(str(value))


def make_value(text: str) -> bool | int | float | str:
    """The truth value or number of which `read_text` makes this text; where there is none, the text."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            value = kind(text[:LONGEST_NUMBER])
        except ValueError:
            continue
        if read_text(value) == text and math.isfinite(value):
            return value
    return text


def is_whole(value: Any) -> bool:
    """Whether a value of a JSON is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value of a JSON is a finite number."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))
