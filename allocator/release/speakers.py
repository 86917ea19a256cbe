"""What the allocator reads of a Speaker object: which process it is, its promise, and its routers.

Decodes only these fields; the full type is crds.speaker.Speaker. What follows from them is in
allocator.release.barrier.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from crds.speaker import MOST_GATEWAYS, MOST_INTERFACES, MOST_NETWORKS, word_on_routers
from kube.decoding import decoder
from kube.objects import KubeObject, decode_meta


class Fencing(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """`status.fencing`: the promise to withdraw by itself when cut off (crds.fencing)."""

    promised: bool = False
    fence_after_seconds: int = 0
    witnesses: tuple[str, ...] = ()


class Router(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A router that may have routes of a speaker, and for how long it may keep them without it."""

    address: str
    outlives_seconds: int = 0


def seconds_by_router(routers: Iterable[Router] | None) -> dict[str, int]:
    """For how long each may keep the routes, by address. Those that keep none are left out."""
    return {one.address: one.outlives_seconds for one in routers or () if one.outlives_seconds > 0}


class SeenInterface(NamedTuple):
    """An interface of the node that addresses can be announced on: `networks` are its addresses with prefix lengths."""

    name: str
    mac: str
    networks: tuple[str, ...]
    gateways: tuple[str, ...]
    tells_networks: bool = True
    """Whether these are all that it is on: a speaker of an earlier version names none."""


class SpeakerStatus(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """`status`, as far as the allocator reads it. Lists that are null are None."""

    incarnation: str = ""
    goodbye: bool = False
    fencing: Fencing | None = None
    routers: tuple[Router, ...] | None = None
    elsewhere: tuple[Any, ...] | None = None
    interfaces: Any = None
    """As it came: what is wrong in there must not hide who the speaker is."""
    conditions: Any = None
    """The same. No release depends on them."""


class Liveness(Enum):
    """What is known of a speaker's life."""

    ALIVE = "Alive"
    SILENT = "Silent"
    STOPPED = "Stopped"
    NOT_REGISTERED = "NotRegistered"


_NOT_ALIVE = {
    Liveness.SILENT: "is silent",
    Liveness.STOPPED: "has stopped",
    Liveness.NOT_REGISTERED: "has not registered yet",
}


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

    def liveness(self, is_silent: bool) -> Liveness:
        """Whether it may announce anything. `is_silent`: nothing is heard of it."""
        if not self.has_registered:
            return Liveness.NOT_REGISTERED
        if self.goodbye:
            return Liveness.STOPPED
        return Liveness.SILENT if is_silent else Liveness.ALIVE

    def not_alive(self, is_silent: bool) -> str:
        """Why it announces nothing, as in "node1 has stopped"; empty for one that lives."""
        return _NOT_ALIVE.get(self.liveness(is_silent), "")

    @property
    def was_elsewhere(self) -> bool:
        """Whether speakers of its node on other machines may still announce. Their Leases are its own, by name."""
        return bool(self.status.elsewhere)

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
        """An operator's word: these routers keep no route of its sessions (ANNOTATION_DROPPED_ROUTERS).

        It counts for the process that it names. One that was left from a former fault says nothing of this one.
        """
        process, routers = word_on_routers(self.metadata.annotations)
        return routers if process and process == self.status.incarnation else frozenset()

    def routers(self) -> dict[str, int]:
        """For how many seconds routers may keep its routes after it is gone, by address."""
        dropped = self.dropped_routers
        return {
            name: seconds for name, seconds in seconds_by_router(self.status.routers).items() if name not in dropped
        }

    def interfaces(self) -> list[SeenInterface]:
        """What can be read of them: no speaker sees more than the API's schema has room for."""
        given = self.status.interfaces
        return (
            [_seen(one) for one in given[:MOST_INTERFACES] if isinstance(one, dict)] if isinstance(given, list) else []
        )

    @property
    def outlives_seconds(self) -> int:
        """For how long any router may keep its routes after it is gone; 0 = none keeps any."""
        return max(self.routers().values(), default=0)


class UnreadableSpeaker(SpeakerState, frozen=True, kw_only=True, gc=False):
    """One whose status does not decode."""

    error: str

    @property
    def unreadable(self) -> str:
        """The error."""
        return self.error


def _seen(one: dict[str, Any]) -> SeenInterface:
    name, mac = (text if isinstance(text := one.get(key), str) else "" for key in ("name", "mac"))
    return SeenInterface(
        name,
        mac,
        _texts(one.get("networks"), MOST_NETWORKS),
        _texts(one.get("gateways"), MOST_GATEWAYS),
        one.get("ipv6") is not None,
    )


def _texts(given: Any, most: int) -> tuple[str, ...]:
    return tuple(one for one in given[:most] if isinstance(one, str)) if isinstance(given, list) else ()


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
