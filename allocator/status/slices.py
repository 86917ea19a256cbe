"""What the allocator reads of a SpeakerReport: one slice of what a node's speaker says that it does.

Decodes only these fields. Nodes that announce by BGP say the same of thousands of addresses, so what is equal is kept
once: 500 nodes with 10,000 addresses each are 50,000 slices. The full type is crds.speakerreport.SpeakerReport.
"""

import sys
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from allocator.status.announcers import Said
from allocator.status.entries import Announcement, Cause, Fault, KernelEntry, Session, Sighting
from crds.speaker import BFDSessionState
from kube.decoding import decoder
from kube.objects import KubeObject

KEPT_ONCE = 4096
"""How many different announcements, and series of them, are remembered for that."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One SpeakerReport. `incarnation`: the process that wrote it."""

    node: str
    incarnation: str
    announced: Said
    sightings: tuple[Sighting, ...] = ()
    sessions: tuple[Session, ...] = ()
    faults: tuple[Fault, ...] = ()
    kernel: tuple[KernelEntry, ...] = ()
    unannounced: tuple[Cause, ...] = ()


class _Spec(msgspec.Struct, frozen=True, gc=False):
    node: str = ""


class _BFD(msgspec.Struct, frozen=True, gc=False):
    peer: str
    state: str = ""


class _Status(msgspec.Struct, frozen=True, rename="camel", gc=False):
    incarnation: str = ""
    announcements: dict[str, Announcement] | None = None
    conflicts: tuple[Sighting, ...] | None = None
    bgp_sessions: tuple[Session, ...] | None = None
    bfd_sessions: tuple[_BFD, ...] | None = None
    faults: tuple[Fault, ...] | None = None
    kernel_answers: tuple[KernelEntry, ...] | None = None
    unannounced: tuple[Cause, ...] | None = None


class _Report(KubeObject, frozen=True, kw_only=True, gc=False):
    spec: _Spec = _Spec()
    status: _Status | None = None


def decode_slice(raw: bytes) -> Slice:
    """Raises ValueError."""
    report = _decode(raw)
    status = report.status or _Status()
    said = status.announcements or {}
    return Slice(
        report.spec.node,
        status.incarnation,
        Said(tuple(map(sys.intern, said)), _all_once(tuple(map(_once, said.values())))),
        status.conflicts or (),
        _watched(status.bgp_sessions or (), status.bfd_sessions or ()),
        status.faults or (),
        status.kernel_answers or (),
        status.unannounced or (),
    )


def _watched(sessions: tuple[Session, ...], bfd: tuple[_BFD, ...]) -> tuple[Session, ...]:
    """With what is said of BFD beside."""
    up = {one.peer for one in bfd if one.state == BFDSessionState.Up.value}
    return tuple(msgspec.structs.replace(one, is_watched=one.peer in up) for one in sessions)


@lru_cache(KEPT_ONCE)
def _all_once(how: tuple[Announcement, ...]) -> tuple[Announcement, ...]:
    return how


@lru_cache(KEPT_ONCE)
def _once(one: Announcement) -> Announcement:
    return one


_decode = decoder(_Report)
