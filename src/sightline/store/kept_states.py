"""The folded labels of the pictures that people work on, so that an edit folds nothing anew."""

from collections import OrderedDict

from sightline.data.editing import LabelState

KEPT_STATES = 64  # pictures,
KEPT_LABELS = 200_000  # and no more of them than have so many labels together, some 2 KB each


class KeptStates:
    """The last states that were asked for, each of one revision; not thread safe."""

    def __init__(self) -> None:
        self._states: OrderedDict[int, tuple[int, LabelState]] = OrderedDict()

    def find(self, position: int, revision: int) -> LabelState | None:
        """A picture's labels at a revision, or None where another one, or none, is kept."""
        kept = self._states.get(position)
        if kept is None or kept[0] != revision:
            return None
        self._states.move_to_end(position)
        return kept[1]

    def put(self, position: int, revision: int, state: LabelState) -> None:
        """Keep a picture's labels; the last one is kept in any case."""
        self._states[position] = (revision, state)
        self._states.move_to_end(position)
        while len(self._states) > 1 and (len(self._states) > KEPT_STATES or self.count_labels() > KEPT_LABELS):
            self._states.popitem(last=False)

    def count_labels(self) -> int:
        """Labels of all kept states."""
        return sum(len(state.labels) for _, state in self._states.values())

    def clear(self) -> None:
        """Keep none: the pictures have other positions now."""
        self._states.clear()
