"""Which frames of a video are wanted, and when each is due: the arithmetic of time, without a video.

The time of a video is cut into slots of 1 / rate seconds from its first frame on; the first frame in each slot is wanted. That
is decided for packets too, before decoding, so that frames which are neither wanted nor referred to need not be decoded.
"""

import heapq
import math
from collections.abc import Callable

FAR_BEHIND_S = 5.0
BEHIND_S = 1.0
REORDER_LIMIT = 1024
SHORTEST_TICK_S = 1e-6  # the rounding of floats is forgiven in any case
FREE_CPU_S = 1.0  # processor time that a frame which is sent may take, with those before it that nobody wants
REST_TIMES = 3.0  # a quarter of a core


class FrameSelector:
    """Picks the frames for a rate. Times are presentation times, seconds.

    Args:
        rate: wanted frames per second; None: every frame.
        tick_s: of the video's clock; at 29.97 frames/s its rounding must not skip the frame that is meant.
        frame_s: time between two frames of the video, as far as known; only what is missing is counted by it.
    """

    def __init__(self, rate: float | None, tick_s: float = 0.0, frame_s: float = 0.0) -> None:
        self._interval_s = 1 / rate if rate else 0.0
        self._tick_s = max(tick_s, SHORTEST_TICK_S)
        self._frame_s = frame_s
        self._first_s: float | None = None
        self._last_slot = -1
        self._last_s = -math.inf
        self._first_in_slot_s: dict[int, float] = {}  # of packets that were kept and whose frames have not come yet

    def choose(self, time_s: float, passed_over: int = 0) -> tuple[bool, int]:
        """Whether this decoded frame is wanted, and how many wanted ones are missing before it. Frames come in order of time.

        A time that runs backwards (a camera that restarted) begins a new count.

        Args:
            passed_over: frames between the last one and this that were never decoded.
        """
        if self._first_s is None or time_s < self._last_s:
            self._first_s, self._last_slot = time_s, -1
            self._first_in_slot_s.clear()
        self._last_s = time_s
        if not self._interval_s:
            return True, passed_over
        slot = self._find_slot(time_s)
        missed = slot - self._last_slot - 1
        if missed < 0:
            return False, 0
        self._last_slot = slot
        self._first_in_slot_s = {later: kept_s for later, kept_s in self._first_in_slot_s.items() if later > slot}
        return True, missed if self._frame_s <= self._interval_s else 0  # a slower video leaves slots empty by itself

    def is_needless(self, time_s: float) -> bool:
        """Whether the frame of a packet cannot be the first of its slot, for one before it in the slot was decoded or kept.

        A packet of which this is not known is to be decoded: it counts as kept. Packets come in order of decoding.
        """
        if self._first_s is None or not self._interval_s or time_s <= self._last_s:
            return False
        slot = self._find_slot(time_s)
        if slot == self._last_slot:
            return True
        kept_s = self._first_in_slot_s.get(slot, math.inf)
        if kept_s < time_s:
            return True
        self._first_in_slot_s[slot] = time_s
        if len(self._first_in_slot_s) > REORDER_LIMIT:  # frames that never come
            self._first_in_slot_s.clear()
        return False

    def _find_slot(self, time_s: float) -> int:
        assert self._first_s is not None
        return math.floor((time_s - self._first_s + self._tick_s / 2) / self._interval_s)


class Pacer:
    """When a frame is due.

    Args:
        clock: seconds, monotonic.
        is_live: frames come by themselves when they are due, so nothing waits for its time; the frame that came earliest for
            its time says when the others were due.
    """

    def __init__(self, clock: Callable[[], float], is_live: bool) -> None:
        self._clock = clock
        self._is_live = is_live
        self._base_s: float | None = None
        self._last_s = -math.inf

    def find_due_s(self, time_s: float) -> float:
        """The moment on the clock; the first frame is due now. A time that runs backwards begins anew."""
        now_s = self._clock()
        if self._base_s is None or time_s < self._last_s:
            self._base_s = now_s - time_s
        elif self._is_live:
            self._base_s = min(self._base_s, now_s - time_s)
        self._last_s = time_s
        return self._base_s + time_s

    def find_lag_s(self, time_s: float) -> float:
        """How late it is for this time; 0 when it is early or nothing is known yet."""
        return 0.0 if self._base_s is None else max(0.0, self._clock() - self._base_s - time_s)

    def restart(self) -> None:
        """What comes next is due now: the source itself had stopped."""
        self._base_s = None


class CatchUp:
    """What to leave undecoded while decoding is behind: first what nobody refers to, all but key frames when far behind."""

    def __init__(self) -> None:
        self._keys_only = False

    def find_skip(self, lag_s: float, is_key: bool) -> str:
        """FFmpeg's word for it: "DEFAULT", "NONREF" or "NONKEY". After "NONKEY", others return with a key frame only."""
        if lag_s > FAR_BEHIND_S:
            self._keys_only = True
        elif is_key and lag_s < BEHIND_S:
            self._keys_only = False
        if self._keys_only:
            return "NONKEY"
        return "NONREF" if lag_s > BEHIND_S else "DEFAULT"


class Restraint:
    """Holds back who decodes much and sends little: a frame counts for its key's limits, those before it count for nobody's.

    Beyond `FREE_CPU_S` of processor time since the last frame that was sent, each second is followed by `REST_TIMES` of rest.

    Args:
        cpu_clock: processor time of the process, seconds.
    """

    def __init__(self, cpu_clock: Callable[[], float]) -> None:
        self._clock = cpu_clock
        self._looked_s = self._sent_s = cpu_clock()

    def note_sent(self) -> None:
        """A frame that was asked for has left."""
        self._sent_s = self._clock()

    def find_rest_s(self) -> float:
        """How long to rest for the processor time since this was last asked."""
        now_s = self._clock()
        used_s, self._looked_s = now_s - self._looked_s, now_s
        return REST_TIMES * used_s if now_s - self._sent_s > FREE_CPU_S else 0.0


class PresentationOrder:
    """Numbers frames in order of presentation although packets come in order of decoding and some are never decoded."""

    def __init__(self) -> None:
        self._pending: list[int] = []
        self._count = 0

    def add_packet(self, pts: int) -> None:
        """A packet was read."""
        heapq.heappush(self._pending, pts)
        if len(self._pending) > REORDER_LIMIT:
            heapq.heappop(self._pending)
            self._count += 1

    def take_index(self, pts: int | None) -> int:
        """The number of a decoded frame: how many packets are shown before it. Without a time it is the next number."""
        before = self._count
        while pts is not None and self._pending and self._pending[0] <= pts:
            heapq.heappop(self._pending)
            self._count += 1
        if self._count == before:
            self._count += 1
        return self._count - 1
