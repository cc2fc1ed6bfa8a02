"""Keep a folder of what can be made again below a size: what was not used for the longest time goes first.

Whoever uses an entry touches it (`os.utime`). Other processes use the same folder, so an entry may be gone at any moment.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

MOST_BYTES = 512 * 1024**2  # of all entries in a folder


def make_room(entries: Iterable[Path], most_bytes: int, remove: Callable[[Path], object] = Path.unlink) -> None:
    """Remove the longest unused entries until the rest is small enough, if they can be removed.

    Args:
        entries: files, or folders that count with all that is in them.
        most_bytes: of all together.
        remove: of one entry; an OSError is passed over.
    """
    used = []
    with suppress(OSError):  # the folder itself is gone
        for path in entries:
            with suppress(OSError):  # another process has just removed it
                used.append((path.lstat().st_mtime_ns, measure_bytes(path), path))
    total_bytes = sum(size_bytes for _, size_bytes, _ in used)
    for _, size_bytes, path in sorted(used):
        if total_bytes <= most_bytes:
            return
        with suppress(OSError):  # not to be removed like this
            remove(path)
            total_bytes -= size_bytes


def measure_bytes(path: Path) -> int:
    """Size of a file, or of a folder with all that is in it. Raises: OSError."""
    return path.lstat().st_size + sum(inside.lstat().st_size for inside in path.rglob("*"))
