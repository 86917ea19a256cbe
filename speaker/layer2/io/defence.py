"""What the agent does about machines that use our addresses and are no speakers: defends, asks after them, reports.

The clock and the wire's end of speaker.layer2.conflicts, which decides.
"""

import time

import structlog

from kube.io.clock import timestamp
from speaker.io.metrics import SpeakerMetrics
from speaker.layer2.conflicts import Claim
from speaker.layer2.course import Announcer
from speaker.layer2.probing import Answer, Verdict
from speaker.wire.io.link import OrderRefusedError, WireLink
from speaker.wire.messages import Answer as WireAnswer
from speaker.wire.messages import Ask, Conflict, Defend, Probe, Probed

PROBES_AT_A_TIME = 64

log = structlog.get_logger()


class Strangers:
    """`tick` twice a second or so. Fills the field `conflicts` of the announcer's draft."""

    def __init__(self, link: WireLink, announcer: Announcer, metrics: SpeakerMetrics) -> None:
        self._link = link
        self._announcer = announcer
        self._metrics = metrics
        self._conflicts = announcer.conflicts
        announcer.draft.set("conflicts", [])

    def claimed(self, conflict: Conflict) -> None:
        """Another host claims an address that is announced here. During a take-over that is the other speaker."""
        is_speakers = self._announcer.cluster.is_speakers(conflict.mac)
        self._metrics.conflict_seen(is_speakers)
        where = {"address": conflict.address, "interface": conflict.interface, "mac": conflict.mac}
        if is_speakers:
            log.debug("another speaker claims an address of ours", **where)
            return
        claim = Claim(conflict.address, conflict.interface, conflict.mac)
        if self._conflicts.seen(claim, time.monotonic(), timestamp()):
            log.warning("another host uses an address of ours: defended once", **where)
            self._link.send(Defend(conflict.address, conflict.interface))
            self._metrics.defended()

    async def probe_some(self) -> bool:
        """Have addresses probed that are to be announced for the first time. Whether there were any."""
        probes = self._announcer.next_probes(PROBES_AT_A_TIME)
        if probes:
            log.debug("probing", addresses=[address for address, _, _ in probes])
            try:
                await self._link.carry_out(Probe(tuple(probes)))
            except OrderRefusedError as error:  # it will refuse to announce them too, and that is told
                log.warning("the wire refused to probe", error=str(error))
                for address, _, run in probes:
                    self._announcer.probe_finished(address, run, sent=1)
        return bool(probes)

    def answered(self, answer: WireAnswer) -> None:
        """A host has an address that is being probed, or probes for it too."""
        heard = Answer(answer.address, answer.run, answer.interface, answer.mac, answer.is_probe)
        verdict = self._announcer.probe_answered(heard, time.monotonic(), timestamp())
        if verdict is None:
            return
        self._metrics.probed(verdict.value)
        (log.warning if verdict is Verdict.IN_USE else log.debug)(
            "an address to be announced is in use", address=answer.address, interface=answer.interface, mac=answer.mac
        )

    def probed(self, over: Probed) -> None:
        """A run of probes is over."""
        if self._announcer.probe_finished(over.address, over.run, over.sent):
            self._metrics.probed(Verdict.CLEAR.value)

    def tick(self) -> bool:
        """Ask those that fell silent, and tell who there is. Whether there is something to probe."""
        now = time.monotonic()
        for claim in self._conflicts.silent(now):
            self._link.send(Ask(claim.address, claim.interface, claim.mac))
        entries = self._conflicts.believed(now, self._announcer.cluster.is_speakers)
        self._announcer.draft.set("conflicts", entries)
        self._metrics.conflicts_now(len(entries))
        return self._announcer.probing.again(now)
