"""How many files this process may have open at once: what a shell gives is meant for programs without many connections."""

import resource


def allow_more_files() -> None:
    """Raise the soft limit of open files to the hard one: connections, videos and graphs are files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
