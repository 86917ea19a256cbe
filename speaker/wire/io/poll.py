"""The one place where the wire process waits: an epoll, and whom to call for each of its file descriptors."""

from __future__ import annotations

import select
from collections.abc import Callable


class Poll:
    """See speaker.wire.part.Poll."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], object]] = {}

    def add(self, fd: int, on_readable: Callable[[], object]) -> None:
        """Call it each time there is something to read, until all is read."""
        self._readers[fd] = on_readable
        self._epoll.register(fd, select.EPOLLIN)

    def mute(self, fd: int, is_muted: bool) -> None:
        """Do not wake up for it, for as long as it is muted."""
        self._epoll.modify(fd, 0 if is_muted else select.EPOLLIN)

    def want_to_write(self, fd: int, is_wanted: bool) -> None:
        """Call it as well when there is room to write."""
        self._epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if is_wanted else 0))

    def remove(self, fd: int) -> None:
        """Before it is closed."""
        del self._readers[fd]
        self._epoll.unregister(fd)

    def wait(self, seconds: float) -> None:
        """Sleep so long at most, and call those concerned."""
        readers = self._readers
        for fd, _ in self._epoll.poll(seconds):
            on_readable = readers.get(fd)
            if on_readable is not None:  # else removed by one before it
                on_readable()

    def close(self) -> None:
        self._epoll.close()
