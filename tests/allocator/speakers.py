"""Speakers as the release protocol sees them, on a virtual clock: they lag, are cut off, crash, leave and come back.

Each announces what its last list of IPAllocations said; it knows nothing of the allocator. The promise
is the design's: whoever could not renew its Lease for F less a margin is silent from then on, unless a strict majority
of its witnesses had its last contact when it had; whoever was silent registers and lists again before it announces.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import msgspec

from allocator.objects import StoredAllocation
from allocator.release.barrier import Renewed
from allocator.release.confirmations import Confirmation, ConfirmationStatus
from allocator.release.speakers import Fencing, SpeakerState, SpeakerStatus
from crds.addresses import IPAddress
from crds.fencing import outlived_after_seconds
from crds.names import allocation_name
from kube.objects import Meta

FENCE_SECONDS = 60.0
MARGIN_SECONDS = 10.0


@dataclass
class FakeSpeaker:
    """`on_wire`: the addresses it announces, with the uids of those for whom it does."""

    node: str
    is_running: bool = False
    is_cut: bool = False
    has_listed: bool = False
    renewed: float = 0.0
    renewals: int = 0
    starts: int = 0
    witnesses: tuple[str, ...] = ("n1", "n2", "n3")
    on_wire: dict[IPAddress, frozenset[str]] = field(default_factory=dict)
    lives: dict[IPAddress, int] = field(default_factory=dict)
    """In which life of the address it learnt of what is on the wire."""
    unwritten: dict[str, int] = field(default_factory=dict)
    """Acknowledgements of what is withdrawn on the wire, but not written yet."""
    written: SpeakerStatus | None = None
    """The status of its Speaker object; None = there is no object."""
    confirmed: ConfirmationStatus = field(default_factory=ConfirmationStatus)
    """The status of its ReleaseConfirmation."""

    def start(self, now: float) -> None:
        """Register; the first list follows later."""
        self.is_running, self.has_listed = True, False
        self.on_wire.clear()
        self.unwritten.clear()
        self.renew(now)
        fencing = Fencing(promised=True, fence_after_seconds=int(FENCE_SECONDS), witnesses=self.witnesses)
        self.starts += 1
        self.written = SpeakerStatus(f"{self.node}-{self.starts}", fencing=fencing)

    def renew(self, now: float) -> None:
        self.renewed = now
        self.renewals += 1

    def list(self, allocations: list[StoredAllocation], lives: Mapping[str, int] = MappingProxyType({})) -> None:
        """Withdraw first, then announce. `lives`: the present one of each address, by its record's name."""
        self.has_listed = True
        self.on_wire = {
            one.address: frozenset(holder.uid for holder in one.claim.holders)
            for one in allocations
            if not one.claim.releasing
        }
        self.lives = {vip: lives.get(allocation_name(vip), 0) for vip in self.on_wire}
        self.unwritten = {one.uid: one.generation for one in allocations if one.claim.releasing}

    def acknowledge(self) -> None:
        if self.written is not None:
            before = self.confirmation().confirmed_by(self.written.incarnation)
            self.confirmed = ConfirmationStatus(self.written.incarnation, {**before, **self.unwritten})

    def say_goodbye(self) -> None:
        self.crash()
        if self.written is not None:
            self.written = msgspec.structs.replace(self.written, goodbye=True)

    def crash(self) -> None:
        self.is_running = False
        self.has_listed = False
        self.on_wire.clear()

    def is_old(self, now: float) -> bool:
        """Its last renewal is so long ago that it must be silent, were it alone."""
        return now - self.renewed >= FENCE_SECONDS - MARGIN_SECONDS

    def keep_promise(self, now: float, heard: Mapping[str, "FakeSpeaker"]) -> None:
        """`heard`: the others."""
        before = self.renewed + outlived_after_seconds(FENCE_SECONDS)
        lost = [node for node in self.witnesses if node in heard and heard[node].renewed < before]
        if self.is_old(now) and 2 * (1 + len(lost)) <= len(self.witnesses):
            self.on_wire.clear()
            self.has_listed = False

    def confirmation(self) -> Confirmation:
        return Confirmation(metadata=Meta(name=self.node), status=self.confirmed)

    def state(self) -> SpeakerState:
        assert self.written is not None
        return SpeakerState(metadata=Meta(name=self.node), status=self.written)


def keep_promises(speakers: Iterable[FakeSpeaker], now: float) -> None:
    """All that run hear each other."""
    running = {one.node: one for one in speakers if one.is_running}
    for node, one in running.items():
        one.keep_promise(now, {other: running[other] for other in running if other != node})


def confirmations(speakers: Iterable[FakeSpeaker]) -> dict[str, Confirmation]:
    """Their ReleaseConfirmations."""
    return {one.node: one.confirmation() for one in speakers}


def renewals(speakers: Iterable[FakeSpeaker]) -> dict[str, Renewed]:
    """The list of their Leases."""
    return {one.node: Renewed(one.node, str(one.renewals)) for one in speakers if one.renewals}
