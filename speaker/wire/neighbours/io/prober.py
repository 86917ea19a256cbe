"""Probes for addresses before they are announced for the first time, and reports which hosts have them.

probe.py says when a probe is due. holdings.py sees to it that frames about the address are let in meanwhile, and that
nobody is answered for it. Which answers come from strangers, the agent decides.
"""

from __future__ import annotations

import os

from speaker.wire.messages import Answer, Probed
from speaker.wire.neighbours.arp import mac_text
from speaker.wire.neighbours.frames import probe, protocol_of
from speaker.wire.neighbours.holdings import Holdings
from speaker.wire.neighbours.io.port import Port
from speaker.wire.neighbours.io.ports import Ports
from speaker.wire.neighbours.probe import ProbeSchedule
from speaker.wire.neighbours.table import InUse
from speaker.wire.part import Agent, Permit

# Of one run. The first decides; a few more, since those of other speakers may come first.
MACS_REPORTED = 16


class _Run:
    """One address while it is probed."""

    __slots__ = ("names", "number", "reported", "sent", "text")

    def __init__(self, text: str, names: tuple[str, ...], number: int) -> None:
        self.text = text
        self.names = names
        self.number = number
        self.sent = 0
        self.reported: set[tuple[bytes, bool]] = set()


class Prober:
    """`turn` when `deadline` has come. The caller lets the filters follow the holdings after each change."""

    def __init__(self, holdings: Holdings, ports: Ports, agent: Agent, permit: Permit) -> None:
        self._holdings = holdings
        self._ports = ports
        self._agent = agent
        self._permit = permit
        self._schedule = ProbeSchedule(_draw)
        self._runs: dict[bytes, _Run] = {}

    def start(self, address: bytes, text: str, names: tuple[str, ...], run: int, now: float) -> None:
        """Probe on these interfaces. What was under way for the address ends."""
        self._runs[address] = _Run(text, names, run)
        self._holdings.hear(address, names)
        self._schedule.start(address, now)

    def stop(self, address: bytes) -> None:
        """Without a word. Unknown ones are fine."""
        if self._runs.pop(address, None) is not None:
            self._schedule.cancel(address)
            self._holdings.stop_hearing(address)

    def deadline(self) -> float | None:
        """When to call `turn` next."""
        return self._schedule.deadline()

    def turn(self, now: float) -> bool:
        """Send what is due. Whether a run is over, so that the holdings have changed."""
        has_ended = False
        for address, is_over in self._schedule.due(now):
            run = self._runs[address]
            if is_over:
                has_ended = True
                del self._runs[address]
                self._holdings.stop_hearing(address)
                self._agent.report(Probed(run.text, run.number, run.sent))
            else:
                self._send(address, run)
        return has_ended

    def in_use(self, port: Port, seen: InUse) -> None:
        """A machine has an address that is being probed, or probes for it too. Each MAC is reported once."""
        port.counters.conflicts += 1
        run = self._runs[seen.address]
        one = (seen.mac, seen.is_probe)
        if one in run.reported or len(run.reported) == MACS_REPORTED:
            return
        run.reported.add(one)
        self._agent.report(Answer(run.text, run.number, port.interface.name, mac_text(seen.mac), seen.is_probe))

    def _send(self, address: bytes, run: _Run) -> None:
        """A frame that can't be sent is no reason to stop: only if none could, nothing was found out."""
        for name in run.names:
            attachment = self._ports.by_name.get(name)
            if attachment is None:
                continue
            port = attachment.port(protocol_of(address))
            if not self._permit.is_valid():
                port.counters.silenced += 1
                continue
            try:
                port.send(probe(port.interface, address))
            except OSError:
                port.counters.failed += 1
            else:
                port.counters.probes += 1
                run.sent += 1


def _draw() -> float:
    """From 0 to 1. The module `random` would cost memory."""
    return int.from_bytes(os.urandom(4), "big") / 2**32
