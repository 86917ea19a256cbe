"""The wire process's end of the socket to the agent: takes orders, gives reports, and never blocks.

It does not know what the messages mean; link.py is the other end.
"""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
from collections import deque

from speaker.wire.messages import MAX_MESSAGE_BYTES, Done, Order, Refused, WireReport, decode_order, encode, packets

# While this many messages wait for the agent to read, those that only inform are not sent.
CROWDED_MESSAGES = 256
LAST_WORDS_TIMEOUT_SECONDS = 1.0


class Closed(Exception):
    """The agent is gone."""


class Channel:
    """Registers itself with the epoll, for writing only while something could not be written."""

    def __init__(self, agent: socket.socket, epoll: select.epoll) -> None:
        agent.setblocking(False)
        self._socket = agent
        self._epoll = epoll
        self._outbox: deque[bytes] = deque()
        self._is_waiting = False
        self.fd = agent.fileno()
        epoll.register(self.fd, select.EPOLLIN)

    @property
    def is_crowded(self) -> bool:
        return len(self._outbox) > CROWDED_MESSAGES

    def receive(self) -> tuple[int, Order] | None:
        """The next order and its sequence number, or None if there is none yet. Raises Closed."""
        try:
            packet = self._socket.recv(MAX_MESSAGE_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            packet = b""
        if not packet:
            raise Closed
        return decode_order(packet)

    def tell(self, report: WireReport) -> None:
        """Send it, after what waits. Raises Closed."""
        self._outbox.extend(packet for _, packet in packets(report, itertools.repeat(0)))
        self.flush()

    def confirm(self, sequence: int) -> None:
        """This order was carried out. Raises Closed."""
        self._outbox.append(encode(Done(), sequence))
        self.flush()

    def refuse(self, sequence: int, message: str) -> None:
        """This order, or part of it, was not; `message` says why. Raises Closed."""
        self._outbox.append(encode(Refused(message), sequence))
        self.flush()

    def flush(self) -> None:
        """Write what the socket takes; epoll calls for the rest. Raises Closed."""
        try:
            while self._outbox:
                self._socket.send(self._outbox[0])
                self._outbox.popleft()
        except BlockingIOError:
            pass
        except OSError:
            raise Closed from None
        if bool(self._outbox) != self._is_waiting:
            self._is_waiting = not self._is_waiting
            self._epoll.modify(self.fd, select.EPOLLIN | (select.EPOLLOUT if self._is_waiting else 0))

    def close(self) -> None:
        """Write what is left, if the agent reads it soon, and close."""
        self._socket.settimeout(LAST_WORDS_TIMEOUT_SECONDS)
        with contextlib.suppress(OSError):
            while self._outbox:
                self._socket.send(self._outbox.popleft())
        self._socket.close()
