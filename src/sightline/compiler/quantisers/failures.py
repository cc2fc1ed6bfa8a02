"""Where a quantising package fails, the quantiser is refused in the package's words; an error of our own code is not hidden."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sightline.core.errors import SightlineError, Unsupported

OURS = __name__.partition(".")[0]


@contextmanager
def refuse_failures(name: str, graph: Path, package: str) -> Iterator[None]:
    """Around the calls of a package, which may call back. Args: name: of the quantiser; package: as it is imported.

    Raises: Unsupported for whatever the package raises by itself.
    """
    try:
        yield
    except (SightlineError, OSError, MemoryError):
        raise
    except Exception as error:  # packages have errors of their own kinds, and let those of others through
        if not is_raised_in(error, package):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Unsupported(f"{name} cannot quantise {graph.name}: {reason}; another quantiser may") from error


def is_raised_in(error: BaseException, package: str) -> bool:
    """Whether it was the package's own call that failed, not one of ours that the package made."""
    modules = (frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__))
    callers = [root for module in modules if (root := module.partition(".")[0]) in (OURS, package)]
    return callers[-1:] == [package]
