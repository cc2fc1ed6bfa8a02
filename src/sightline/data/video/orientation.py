"""How the frames of a video stand upright; apart from `frames`, since the decoder of a stream has no use for arrays."""

import struct
from typing import Any, Literal

from av.sidedata.sidedata import Type

MATRIX_HEAD = struct.Struct("=5i")  # a, b, u, c, d in fixed point


class Orientation:
    """How the frames of one video stand upright, by their display matrix (ISO 14496-12 §6.2.2).

    The matrix is read once for each quarter turn: PyAV's side data hold their frame in a cycle of references, and what frames
    take must not wait for Python's collector.
    """

    def __init__(self) -> None:
        self._is_mirrored: dict[int, bool] = {}

    def find(self, frame: Any) -> tuple[bool, Literal[0, 1, 2, 3]]:
        """Whether a decoded frame is mirrored first, top to bottom; and the quarter turns counter-clockwise that follow."""
        turns: Literal[0, 1, 2, 3] = round(frame.rotation / 90) % 4
        if turns not in self._is_mirrored:
            matrix = frame.side_data.get(Type.DISPLAYMATRIX)
            a, b, _, c, d = (1, 0, 0, 0, 1) if matrix is None else MATRIX_HEAD.unpack_from(bytes(matrix))
            self._is_mirrored[turns] = a * d - b * c < 0
        return self._is_mirrored[turns], turns
