"""Options of a reader, checked: a misspelt or misplaced option is refused, never ignored."""

from typing import Any

from sightline.core.errors import InvalidInput


def check_options(name: str, options: dict[str, Any], allowed: tuple[str, ...] = ()) -> None:
    """Raises: InvalidInput when the format `name` does not have one of the options."""
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        known = f"the options {', '.join(allowed)}" if allowed else "no options"
        raise InvalidInput(f"expected {known} for format {name}, got {', '.join(unknown)}; leave it out or name another format")
