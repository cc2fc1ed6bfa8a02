"""How many files this process may have open at once: what a shell gives is meant for programs without many connections."""

import errno
import resource
from pathlib import Path

OPEN_FILES = Path("/proc/self/fd")
FEW_FILES = 16  # what opening a model takes at once, and some


def allow_more_files() -> int:
    """Raise the soft limit of open files to the hard one: connections, videos and graphs are files.

    Returns: the limit, negative for none.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def are_files_short() -> bool:
    """Whether this process is about to run out of open files: a failure may then be temporary, which engines do not say."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        return soft != resource.RLIM_INFINITY and len(list(OPEN_FILES.iterdir())) > soft - FEW_FILES
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
