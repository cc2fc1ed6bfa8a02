"""One run at a time in a training folder."""

from contextlib import AbstractContextManager
from pathlib import Path

from sightline.core.folder_lock import lock_folder


def lock_training(folder: Path) -> AbstractContextManager[None]:
    """Hold a training folder as `lock_folder` does. Raises: Conflict, also while a worker ends whose launcher was killed."""
    return lock_folder(folder, f"another run trains in {folder} now; wait for its end, or choose another name")
