"""The wire process's end of the socket to the agent: takes orders, gives reports, and never blocks.

It does not know what the messages mean; link.py is the other end.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections import deque
from collections.abc import Callable

from speaker.wire.codec import MAX_MESSAGE_BYTES, encode, packets
from speaker.wire.io.poll import Poll
from speaker.wire.messages import Done, Order, Refused, WireReport, decode_order

# While this many messages wait for the agent to read, those that only inform are not sent.
CROWDED_MESSAGES = 256
LAST_WORDS_TIMEOUT_SECONDS = 1.0


class Closed(Exception):
    """The agent is gone."""


class Channel:
    """See speaker.wire.part.Agent. `on_order` gets each order with its sequence number.

    Polled for writing only while something could not be written. Whatever writes or reads raises Closed.
    """

    def __init__(self, agent: socket.socket, poll: Poll, on_order: Callable[[int, Order], None]) -> None:
        agent.setblocking(False)
        self._socket = agent
        self._poll = poll
        self._on_order = on_order
        self._outbox: deque[bytes] = deque()
        self._is_waiting = False
        poll.add(agent.fileno(), self._on_ready)

    @property
    def is_crowded(self) -> bool:
        """Whether the agent has much to read, so that reports which only inform should wait."""
        return len(self._outbox) > CROWDED_MESSAGES

    def report(self, report: WireReport) -> None:
        """Send it, after what waits."""
        self._outbox.extend(packet for _, packet in packets(report, itertools.repeat(0)))
        self._flush()

    def confirm(self, sequence: int) -> None:
        """This order was carried out."""
        self._outbox.append(encode(Done(), sequence))
        self._flush()

    def refuse(self, sequence: int, why: str) -> None:
        """This order, or part of it, was not."""
        self._outbox.append(encode(Refused(why), sequence))
        self._flush()

    def close(self) -> None:
        """Write what is left, if the agent reads it soon, and close."""
        self._socket.settimeout(LAST_WORDS_TIMEOUT_SECONDS)
        with contextlib.suppress(OSError):
            while self._outbox:
                self._socket.send(self._outbox.popleft())
        self._socket.close()

    def _on_ready(self) -> None:
        """One order at a time, so that frames go between."""
        self._flush()
        try:
            packet = self._socket.recv(MAX_MESSAGE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            raise Closed
        self._on_order(*decode_order(packet))

    def _flush(self) -> None:
        """Write what the socket takes; the rest follows when there is room."""
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
            self._poll.want_to_write(self._socket.fileno(), self._is_waiting)
