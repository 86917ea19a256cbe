"""When to send gratuitous ARP and unsolicited advertisements: a burst at a take-over, then a refresh now and then.

No I/O and no clock: the caller passes `now` (monotonic seconds), calls `due` when `deadline` has come, and sends what
it gets. It knows neither MACs nor permits. It paces itself, so that thousands of take-overs delay no reply.

Each (address, interface) walks through the stages of the burst and then goes round in the refresh queue:

    start --> 0 s --> 0 s --> 0.1 s --> 0.1 s ... 4 s --> 4 s --> refresh --+
              request reply   request   reply     request reply      ^      |  forms in turn
                                                                     +------+

IPv6 has one form only (RFC 4861 §7.2.6), and skips the stages of the other.

Each stage is a queue in order of time, because all walk at the same speed; so every step costs O(1). Earlier stages go
first: with 5,000 take-overs at once every address has its first frame before any has its second.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import NamedTuple

# The first frame moves every neighbour that hears it. The others are for those that did not: a lossy segment, a switch
# port still learning or blocked. RFC 5227 §2.3 asks for 2 announcements 2 s apart, so 0 and 2 s are among them; 0.1 and
# 0.3 s mend a single lost frame inside a failover that should take less than a second, 4 s outlasts the two hello times
# (2 s each, IEEE 802.1D) of bridges that rearrange themselves. RFC 4861 §7.2.6 would have at most 3 advertisements, 1 s
# apart, to spare the segment; we send twice as many, and soon, because a failover is worth more than six frames.
BURST_OFFSETS_SECONDS = (0.0, 0.1, 0.3, 1.0, 2.0, 4.0)

# Switch tables age after 300 s (IEEE 802.1D default); neighbours that missed the burst keep a wrong entry for as long
# as they use it (Linux), or for hours (routers). 60 s gives a switch four chances before it floods, and bounds how long
# a neighbour can be wrong, at the cost of one frame per address and minute.
REFRESH_SECONDS = 60.0

# At most this many frames each turn. A broadcast costs us 5 to 8 µs of CPU (measured over veth and a bridge), so a turn
# delays a reply by about 0.1 ms, and 5,000 addresses have their first frame within half a second.
FRAMES_PER_TURN = 12
TURN_SECONDS = 0.001
# The refresh is never urgent: one frame each turn. It also spreads the addresses over time for all later rounds.
REFRESH_FRAMES_PER_TURN = 1
# Cancelled entries are skipped where they stand, and this many are skipped per turn at most.
SKIPS_PER_TURN = 64


IPV4_BYTES = 4


class Form(Enum):
    """The two forms of RFC 5227 §3. Some hosts learn from one only. For IPv6 it says nothing."""

    REQUEST = "request"
    REPLY = "reply"


class Announcement(NamedTuple):
    """One gratuitous ARP frame or unsolicited Neighbor Advertisement to send now."""

    address: bytes
    interface: str
    form: Form


_STAGES = tuple((offset, form) for offset in BURST_OFFSETS_SECONDS for form in (Form.REQUEST, Form.REPLY))

Key = tuple[bytes, str]


class _Entry:
    """One walk through the stages. Cancelled by no longer being the live one of its key."""

    __slots__ = ("due", "form", "key", "stride")

    def __init__(self, key: Key, due: float) -> None:
        self.key = key
        self.due = due
        self.form = Form.REQUEST  # of the next refresh
        self.stride = 1 if len(key[0]) == IPV4_BYTES else len(Form)


class AnnouncementSchedule:
    """Which frames are due. Time must not run backwards between calls."""

    def __init__(self, refresh_seconds: float = REFRESH_SECONDS) -> None:
        self._refresh_seconds = refresh_seconds
        self._live: dict[Key, _Entry] = {}
        self._stages: tuple[deque[_Entry], ...] = tuple(deque() for _ in _STAGES)
        self._refresh: deque[_Entry] = deque()
        self._next_turn = float("-inf")
        self._deadline: float | None = None

    def start(self, address: bytes, interface: str, now: float) -> None:
        """Begin a burst; one that is under way begins anew."""
        key = (address, interface)
        entry = self._live[key] = _Entry(key, now)
        self._stages[0].append(entry)
        due = max(now, self._next_turn)
        if self._deadline is None or due < self._deadline:
            self._deadline = due

    def cancel(self, address: bytes, interface: str) -> None:
        """Nothing is due for this address on this interface from now on. Unknown ones are fine."""
        self._live.pop((address, interface), None)

    def deadline(self) -> float | None:
        """When to call `due` next, or None if nothing is planned. May be early after a cancellation, never late."""
        return self._deadline

    def due(self, now: float) -> list[Announcement]:
        """The frames to send now: at most FRAMES_PER_TURN, and none sooner than TURN_SECONDS after the last turn."""
        frames: list[Announcement] = []
        if now >= self._next_turn:
            self._walk(now, frames)
            self._go_round(now, frames)
            if frames:
                self._next_turn = now + TURN_SECONDS
        self._deadline = self._earliest()
        return frames

    def __len__(self) -> int:
        return len(self._live)

    def _walk(self, now: float, frames: list[Announcement]) -> None:
        skips = SKIPS_PER_TURN
        for stage, queue in enumerate(self._stages):
            offset, form = _STAGES[stage]
            while queue and queue[0].due <= now and len(frames) < FRAMES_PER_TURN and skips:
                entry = queue.popleft()
                if self._live.get(entry.key) is not entry:
                    skips -= 1
                    continue
                frames.append(Announcement(*entry.key, form))
                following = stage + entry.stride
                if following < len(_STAGES):
                    # Counted from now, not from the start: after a pause the stages keep their distance.
                    entry.due = now + (_STAGES[following][0] - offset)
                    self._stages[following].append(entry)
                else:
                    entry.due = now + self._refresh_seconds
                    self._refresh.append(entry)

    def _go_round(self, now: float, frames: list[Announcement]) -> None:
        allowance = min(REFRESH_FRAMES_PER_TURN, FRAMES_PER_TURN - len(frames))
        skips = SKIPS_PER_TURN
        while self._refresh and self._refresh[0].due <= now and allowance and skips:
            entry = self._refresh.popleft()
            if self._live.get(entry.key) is not entry:
                skips -= 1
                continue
            allowance -= 1
            frames.append(Announcement(*entry.key, entry.form))
            entry.form = Form.REPLY if entry.form is Form.REQUEST else Form.REQUEST
            entry.due = now + self._refresh_seconds
            self._refresh.append(entry)

    def _earliest(self) -> float | None:
        heads = [queue[0].due for queue in (*self._stages, self._refresh) if queue]
        return max(min(heads), self._next_turn) if heads else None
