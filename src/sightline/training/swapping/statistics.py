"""What a swapper counts."""

import msgspec


class SwapStatistics(msgspec.Struct, kw_only=True):
    """What a swapper did so far.

    Attributes:
        saved_bytes: of the storages that forward passes saved, each counted once.
        saved_storages: how many.
        written_bytes, read_bytes: to the file, and from it.
        forward_waits_s: seconds that forward passes waited for the file.
        backward_waits_s: seconds that backward passes waited for it.
        largest_kept_bytes: at most in memory at once, on their way to the file and back included.
        file_bytes: the file at its longest.
    """

    saved_bytes: int = 0
    saved_storages: int = 0
    written_bytes: int = 0
    read_bytes: int = 0
    forward_waits_s: float = 0.0
    backward_waits_s: float = 0.0
    largest_kept_bytes: int = 0
    file_bytes: int = 0

    def describe_step(self) -> str:
        """A line about a first step."""
        return (
            f"a step saves {self.saved_bytes / 1e6:,.1f} MB for backward: at most {self.largest_kept_bytes / 1e6:,.1f} MB in "
            f"memory at once, and {self.written_bytes / 1e6:,.1f} MB by way of a file of {self.file_bytes / 1e6:,.1f} MB"
        )
