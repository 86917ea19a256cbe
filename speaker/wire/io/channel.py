"""The wire process's end of the socket to the agent: one JSON message a packet, never blocking.

It does not know what the messages mean; link.py is the other end.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
from collections import deque
from typing import Any

MAX_MESSAGE_BYTES = 32 * 1024
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

    def receive(self) -> dict[str, Any] | None:
        """The next message, or None if there is none yet. Raises Closed."""
        try:
            packet = self._socket.recv(MAX_MESSAGE_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            packet = b""
        if not packet:
            raise Closed
        message: dict[str, Any] = json.loads(packet)
        return message

    def tell(self, message: dict[str, Any]) -> None:
        self.post(encoded(message))

    def post(self, packet: bytes) -> None:
        """Send an encoded message, after those that wait. Raises Closed."""
        self._outbox.append(packet)
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


def encoded(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()
