"""One layer's configuration, read with the type each setting must have: a file may claim anything, so none is trusted."""

from collections.abc import Mapping, Sequence
from typing import Any

from sightline.core.errors import InvalidInput, Unsupported

MAX_WHOLE = 1 << 24  # no size, stride or padding of a picture network comes near

Pair = tuple[int, int]


class LayerSettings:
    """Typed look-ups in a layer's configuration; every refusal names the layer.

    Args:
        layer: the layer's name, for messages.
        values: its configuration in the spelling of Keras 3.
    """

    def __init__(self, layer: str, values: Mapping[str, Any]) -> None:
        self.layer, self.values = layer, values

    def get(self, key: str, default: Any = None) -> Any:
        """The setting as it stands; `default` where it is absent or null."""
        value = self.values.get(key)
        return default if value is None else value

    def text(self, key: str, default: str) -> str:
        """A word: "same"."""
        value = self.get(key, default)
        if not isinstance(value, str):
            raise self._refusal(key, "a word", value)
        return value

    def flag(self, key: str, default: bool) -> bool:
        """A truth value."""
        value = self.get(key, default)
        if not isinstance(value, bool | int):
            raise self._refusal(key, "true or false", value)
        return bool(value)

    def number(self, key: str, default: float) -> float:
        """A finite number; a NumPy scalar may stand as `{"class_name": ..., "config": {"value": 0.1}}`."""
        value = self.get(key, default)
        if isinstance(value, Mapping):
            inner = value.get("config", value)
            value = inner.get("value", value) if isinstance(inner, Mapping) else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e30:
            raise self._refusal(key, "a finite number", value)
        return float(value)

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number from 1 on."""
        return self._to_whole(key, self.get(key, default), 1)

    def wholes(self, key: str) -> list[int]:
        """A list of whole numbers from 1 on."""
        values = self.get(key, [])
        if isinstance(values, int):
            values = [values]
        if not isinstance(values, Sequence) or isinstance(values, str):
            raise self._refusal(key, "a list of whole numbers", values)
        return [self._to_whole(key, value, 1) for value in values]

    def pair(self, key: str, default: int | Pair | None = None, least: int = 1) -> Pair:
        """Height and width: `[3, 3]`, or `3` for both."""
        value = self.get(key, default)
        both = [value, value] if isinstance(value, int) else value
        if not isinstance(both, Sequence) or isinstance(both, str) or len(both) != 2:
            raise self._refusal(key, "two whole numbers", value)
        return self._to_whole(key, both[0], least), self._to_whole(key, both[1], least)

    def sides(self, key: str) -> tuple[Pair, Pair]:
        """((top, bottom), (left, right)) from that, from (rows, columns), or from one number for all four."""
        value = self.get(key, 1)
        if isinstance(value, Sequence) and len(value) == 4:  # Keras 1: top, bottom, left, right
            value = [value[:2], value[2:]]
        if not isinstance(value, Sequence):
            value = [value, value]
        if len(value) != 2:
            raise self._refusal(key, "two pairs of whole numbers", value)
        rows, columns = (LayerSettings(self.layer, {key: side}).pair(key, least=0) for side in value)
        return rows, columns

    def expect(self, key: str, *allowed: Any) -> None:
        """Refuse every value but these. Raises: Unsupported."""
        value = self.get(key, allowed[0])
        if value not in allowed:
            wanted = " or ".join(map(repr, allowed))
            raise Unsupported(f"layer {self.layer}: {key} = {value!r} is not supported, only {wanted}")

    def _to_whole(self, key: str, value: Any, least: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_WHOLE:
            raise self._refusal(key, f"whole numbers from {least} to {MAX_WHOLE}", value)
        return int(value)

    def _refusal(self, key: str, wanted: str, value: Any) -> InvalidInput:
        return InvalidInput(f"layer {self.layer}: expected {key} as {wanted}, got {str(value)[:80]!r}; the file is damaged")
