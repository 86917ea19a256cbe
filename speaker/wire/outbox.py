"""What the agent has yet to write to the wire process: permits first, then our own state, then the rest in order.

No I/O: the owner of the socket writes `first`, then calls `drop_first`.
"""

from collections import deque

from speaker.wire.messages import OwnState, Permit

OVERTAKING = (Permit, OwnState)


class Outbox:
    """Packets. Of an overtaking kind only the latest is kept."""

    def __init__(self) -> None:
        self._latest: dict[type, bytes] = {}
        self._queue: deque[bytes] = deque()

    def add(self, kind: type, packet: bytes) -> None:
        """After what waits, or before it all when its kind overtakes."""
        if kind in OVERTAKING:
            self._latest[kind] = packet
        else:
            self._queue.append(packet)

    def first(self) -> bytes | None:
        """What to write next; None when nothing waits."""
        for kind in OVERTAKING:
            if kind in self._latest:
                return self._latest[kind]
        return self._queue[0] if self._queue else None

    def drop_first(self) -> None:
        """It is written."""
        for kind in OVERTAKING:
            if kind in self._latest:
                del self._latest[kind]
                return
        self._queue.popleft()

    def clear(self) -> None:
        """Nobody reads any more."""
        self._latest.clear()
        self._queue.clear()

    def __len__(self) -> int:
        return len(self._latest) + len(self._queue)
