"""The sockets that hear BFD packets: one for each kind of session, opened and closed as sessions come and go."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial

from speaker.wire.bfd.io.sockets import Kind, receive, receiver
from speaker.wire.bfd.registry import Arrival
from speaker.wire.part import Poll

# A packet costs about 20 µs to take in, and as much to send.
PACKETS_PER_TURN = 4


class Receivers:
    """`on_packet` gets each datagram and how it came."""

    def __init__(self, poll: Poll, on_packet: Callable[[bytes, Arrival], None]) -> None:
        self._poll = poll
        self._on_packet = on_packet
        self._sockets: dict[Kind, socket.socket] = {}

    def open(self, kinds: set[Kind]) -> dict[Kind, str]:
        """Hear these too. Returns the ones that could not be opened, and why."""
        faults = {}
        for kind in kinds - self._sockets.keys():
            try:
                made = receiver(kind)
            except OSError as error:
                faults[kind] = f"UDP port {kind.port}: {error.strerror}"
            else:
                self._sockets[kind] = made
                self._poll.add(made.fileno(), partial(self._read_some, made, kind))
        return faults

    def close_others(self, kept: set[Kind]) -> None:
        """Hear only these from now on."""
        for kind in self._sockets.keys() - kept:
            made = self._sockets.pop(kind)
            self._poll.remove(made.fileno())
            made.close()

    def have_read_all(self) -> bool:
        """Take in a few packets of each. Whether none is left."""
        return all([self._read_some(made, kind) for kind, made in self._sockets.items()])

    def _read_some(self, source: socket.socket, kind: Kind) -> bool:
        try:
            for _ in range(PACKETS_PER_TURN):
                self._on_packet(*receive(source, kind))
        except BlockingIOError:
            return True
        except OSError:  # what ICMP says of something we sent; not from these sockets, but it costs nothing
            return True
        return False
