"""What the tests of the command line share: what a command left behind, and a Model with a real graph."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from serving_fakes import write_brightness_artifact


class Ran(NamedTuple):
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The last line of stdout."""
        content = json.loads(self.out.splitlines()[-1])
        assert isinstance(content, dict)
        return content


Run = Callable[..., Ran]


def write_brightness_model(folder: Path) -> Path:
    """A Model folder: `bright` or `dark` by the mean pixel."""
    return write_brightness_artifact(folder, "model")
