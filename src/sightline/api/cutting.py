"""The part of a picture that was cut from last: strokes correct the same cut again and again, and decoding takes longer."""

from collections.abc import Callable

from sightline.imaging.cutting import Image, Region, Window, open_window


class WindowShelf:
    """One window, which takes less than a megabyte. One caller at a time."""

    def __init__(self) -> None:
        self._blob = ""
        self._window: Window | None = None

    def open(self, blob: str, region: Region, decode: Callable[[], Image]) -> Window:
        """The window on a region of the picture with this hash, which is decoded only where another one was asked for last."""
        if self._window is None or (self._blob, self._window.region) != (blob, region):
            self._blob, self._window = blob, open_window(decode(), region)
        return self._window
