"""Child processes: they end with their parent, and the parent can say how one ended."""

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """On Linux, have this process killed when the thread that started it ends; elsewhere nothing. See prctl(2)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def describe_exit(code: int, lower: str) -> str:
    """How a process died. Args: code: negative for a signal; lower: settings that take memory, for one that was killed."""
    if code >= 0:
        return f"exit code {code}"
    hint = f"; perhaps out of memory: lower {lower}" if code == -signal.SIGKILL else ""
    return f"signal {signal.Signals(-code).name}{hint}"
