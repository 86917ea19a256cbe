"""What the allocator reads of a Speaker object: its acknowledgements, its promise, and what it announces.

Decodes only these fields, since a Speaker with thousands of announcements changes often; the full type is
crds.speaker.Speaker. What follows from them is in allocator.release.barrier and allocator.status.allocation.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from crds.addresses import addresses_in
from crds.names import ANNOTATION_DROPPED_ROUTERS
from crds.speaker import MOST_ROUTERS
from kube.decoding import decoder
from kube.objects import KubeObject, decode_meta


class Fencing(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """`status.fencing`: the promise to withdraw by itself when cut off (crds.fencing)."""

    promised: bool = False
    fence_after_seconds: int = 0
    witnesses: tuple[str, ...] = ()


class Announcement(msgspec.Struct, frozen=True, gc=False):
    """How one node announces one address."""

    protocols: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()


class Sighting(msgspec.Struct, frozen=True, gc=False):
    """Another machine that uses an address, as one node sees it. Times and counts are for people, and left out."""

    address: str
    mac: str = ""
    interface: str = ""
    announced: bool = True


class Session(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A BGP session of one node, also one that a fault keeps from being tried. Times and counts are left out."""

    peer: str
    state: str = ""
    last_error: str = ""

    @property
    def is_established(self) -> bool:
        """RFC 4271 §8.2.2."""
        return self.state == "Established"


class Fault(msgspec.Struct, frozen=True, gc=False):
    """What a node finds wrong with an object, which is named as kind and name: BGPPeer/tor1."""

    object: str
    reason: str = ""
    message: str = ""


class Router(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A router that may have routes of a speaker, and for how long it may keep them without it."""

    address: str
    outlives_seconds: int = 0


def seconds_by_router(routers: Iterable[Router] | None) -> dict[str, int]:
    """For how long each may keep the routes, by address. Those that keep none are left out."""
    return {one.address: one.outlives_seconds for one in routers or () if one.outlives_seconds > 0}


class SpeakerStatus(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """`status`, as far as the allocator reads it. Lists that are null are None."""

    incarnation: str = ""
    goodbye: bool = False
    fencing: Fencing | None = None
    outlives_seconds: int = 0
    routers: tuple[Router, ...] | None = None
    released: dict[str, int] = {}
    announcements: msgspec.Raw = msgspec.Raw(b"{}")
    conflicts: tuple[Sighting, ...] | None = None
    bgp_sessions: tuple[Session, ...] | None = None
    faults: tuple[Fault, ...] | None = None


class SpeakerState(KubeObject, frozen=True, kw_only=True, gc=False):
    """One Speaker; its name is its node's."""

    status: SpeakerStatus = SpeakerStatus()

    @property
    def has_registered(self) -> bool:
        """Whether a process has registered by it, and so may announce. An object is there before its status is."""
        return bool(self.incarnation or self.unreadable)

    @property
    def unreadable(self) -> str:
        """Why nothing is known of it but that it is there: its status does not decode. Empty for one that was read."""
        return ""

    @property
    def node(self) -> str:
        """Its node, and the name of the object."""
        return self.metadata.name

    @property
    def incarnation(self) -> str:
        """The process that has registered by it; empty when none has, or it is not known."""
        return self.status.incarnation

    @property
    def goodbye(self) -> bool:
        """Whether it stopped cleanly, after it had withdrawn everything."""
        return self.status.goodbye

    @property
    def released(self) -> dict[str, int]:
        """The releases it has confirmed: generations by the uid of the IPAllocation."""
        return self.status.released

    @property
    def witnesses(self) -> frozenset[str]:
        """On whom its promise to fence itself rests; empty when it promises nothing."""
        fencing = self.status.fencing
        return frozenset(fencing.witnesses) if fencing is not None and fencing.promised else frozenset()

    @property
    def fence_after_seconds(self) -> int:
        """After how long without a renewed Lease it is silent, by its promise; 0 without a promise."""
        return self.status.fencing.fence_after_seconds if self.status.fencing is not None else 0

    @property
    def dropped_routers(self) -> frozenset[str]:
        """An operator's word: these routers keep no route of its sessions (ANNOTATION_DROPPED_ROUTERS)."""
        text = self.metadata.annotations.get(ANNOTATION_DROPPED_ROUTERS)
        return addresses_in(text, MOST_ROUTERS) if text else frozenset()

    def routers(self) -> dict[str, int]:
        """For how many seconds routers may keep its routes after it is gone, by address; "" = some router."""
        named, dropped = seconds_by_router(self.status.routers), self.dropped_routers
        kept = {router: seconds for router, seconds in named.items() if router not in dropped}
        if self.status.outlives_seconds > 0 and (kept or not named):
            kept[""] = self.status.outlives_seconds
        return kept

    @property
    def outlives_seconds(self) -> int:
        """For how long any router may keep its routes after it is gone; 0 = none keeps any."""
        return max(self.routers().values(), default=0)

    def announcements(self) -> dict[str, Announcement]:
        """What it announces, by address: decoded at each call, since it is large and seldom asked for."""
        return {} if self.goodbye else _decode_announcements(self.status.announcements)


class UnreadableSpeaker(SpeakerState, frozen=True, kw_only=True, gc=False):
    """One whose status does not decode."""

    error: str

    @property
    def unreadable(self) -> str:
        """The error."""
        return self.error


def _decode_announcements(raw: msgspec.Raw) -> dict[str, Announcement]:
    return _announcements.decode(raw) or {}


_announcements: Any = msgspec.json.Decoder(dict[str, Announcement] | None)  # noqa: TID251 - a part of what was decoded
decode_speaker = decoder(SpeakerState)
"""Raises ValueError."""


def listed_speaker(raw: bytes) -> SpeakerState:
    """One of a list that must leave none out: where its status does not decode, that is what is known of it.

    Raises ValueError where not even its name can be read.
    """
    try:
        return decode_speaker(raw)
    except ValueError as error:
        return UnreadableSpeaker(metadata=decode_meta(raw).metadata, error=str(error))
