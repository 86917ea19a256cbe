"""IPAllocations and advertisements as the allocator keeps them: decoded once, reduced to what decisions need.

Values for the informers; the full types are in crds. Thousands of these live at the same time, so they are small.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Annotated, Any

import msgspec
from pydantic import TypeAdapter

from allocator.claims import Claim, WireSpec, claim_from
from allocator.space.ranges import parse_address
from crds.addresses import IPAddress
from crds.advertisement import AdvertisementSpec
from crds.meta import Condition, Conditions
from crds.names import allocation_name
from crds.types import BFDProfile, BGPAdvertisement, BGPPeer, BGPPeerStatus, Community, L2Advertisement
from kube.decoding import decoder


@dataclass(frozen=True, slots=True)
class StoredAllocation:
    """An IPAllocation as the API server has it, status included."""

    claim: Claim
    uid: str
    resource_version: int
    generation: int
    announced_by: tuple[str, ...] = ()
    announcer_count: int = 0
    conditions: tuple[Condition, ...] = ()
    first_announced: str | None = None

    @property
    def address(self) -> IPAddress:
        """As in its claim."""
        return self.claim.address

    @property
    def mark(self) -> tuple[str, int] | None:
        """The release that it asks for: its uid, and its generation with `releasing`. None while it is in use."""
        return (self.uid, self.generation) if self.claim.releasing else None


class _Meta(msgspec.Struct, frozen=True, rename="camel", gc=False):
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0


class _Status(msgspec.Struct, frozen=True, rename="camel", gc=False):
    announced_by: tuple[str, ...] = ()
    announcer_count: Annotated[int, msgspec.Meta(ge=0)] = 0
    conditions: msgspec.Raw = msgspec.Raw(b"[]")
    first_announced: str | None = None


class _Record(msgspec.Struct, frozen=True, gc=False):
    spec: WireSpec
    metadata: _Meta = _Meta()
    status: _Status = _Status()


_decode_record = decoder(_Record)
_conditions_from: TypeAdapter[tuple[Condition, ...]] = TypeAdapter(Conditions)


def decode_allocation(raw: bytes) -> StoredAllocation:
    """Raises ValueError for an object whose name does not belong to its address, since it is nobody's record, and for a
    resourceVersion that is no number (KEP-5504).

    There are thousands of these: by way of crds.types.IPAllocation one takes twice as long.
    """
    record = _decode_record(raw)
    address = parse_address(record.spec.address)
    if address is None or allocation_name(address) != record.metadata.name:
        raise ValueError(f"IPAllocation {record.metadata.name} is not named after {record.spec.address!r}")
    metadata, status = record.metadata, record.status
    return StoredAllocation(
        claim_from(address, record.spec),
        metadata.uid,
        int(metadata.resource_version or 0),
        metadata.generation,
        tuple(map(intern, status.announced_by)),
        status.announcer_count,
        _conditions_from.validate_json(bytes(status.conditions)),
        status.first_announced,
    )


@dataclass(frozen=True, slots=True)
class Advertisement:
    """What of an L2Advertisement or BGPAdvertisement says whether an address is announced at all."""

    kind: str
    name: str
    uid: str
    generation: int
    spec: AdvertisementSpec
    conditions: tuple[Condition, ...]
    peers: tuple[str, ...] = ()
    """Of a BGPAdvertisement: the BGPPeers it is for by name; empty: all."""
    status: Mapping[str, Any] = field(default_factory=dict)
    """As it is on the wire."""

    def covers(self, pool: str, pool_labels: Mapping[str, str] | None, services: Iterable[Mapping[str, str]]) -> bool:
        """Whether it chooses addresses of this pool for one of the Services with these labels."""
        return self.spec.covers_pool(pool, pool_labels) and self.spec.covers_services(services)


def decode_l2_advertisement(raw: bytes) -> Advertisement:
    """Raises pydantic.ValidationError, a ValueError."""
    return _advertisement(L2Advertisement.decode(raw))


def decode_bgp_advertisement(raw: bytes) -> Advertisement:
    """Raises pydantic.ValidationError, a ValueError."""
    return _advertisement(BGPAdvertisement.decode(raw))


def _advertisement(one: L2Advertisement | BGPAdvertisement) -> Advertisement:
    return Advertisement(
        kind=one.kind,
        name=one.metadata.name,
        uid=one.metadata.uid,
        generation=one.metadata.generation,
        spec=one.spec,
        conditions=one.status.conditions,
        peers=one.spec.peers if isinstance(one, BGPAdvertisement) else (),
        status=one.status.to_wire(),
    )


@dataclass(frozen=True, slots=True)
class StoredPeer:
    """What of a BGPPeer its status depends on, and that status."""

    name: str
    uid: str
    generation: int
    endpoint: tuple[str | None, int, str | None]
    """Its address in canonical form with the link (fe80::1%eth1), port and VRF: one such is one router."""
    status: BGPPeerStatus
    bfd_profile: str | None = None
    """The BFDProfile that it names."""
    has_graceful_restart: bool = False
    router_id: str | None = None
    """The BGP identifier that it gives to its nodes."""


@dataclass(frozen=True, slots=True)
class StoredHelper:
    """A BFDProfile or a Community: what others name. `defines`: the names that they use; `status`: on the wire."""

    kind: str
    name: str
    uid: str
    generation: int
    defines: tuple[str, ...]
    conditions: tuple[Condition, ...]
    status: Mapping[str, Any]


def decode_profile(raw: bytes) -> StoredHelper:
    """Raises pydantic.ValidationError, a ValueError."""
    one = BFDProfile.decode(raw)
    return _helper(one, (one.metadata.name,))


def decode_community(raw: bytes) -> StoredHelper:
    """Raises pydantic.ValidationError, a ValueError."""
    one = Community.decode(raw)
    return _helper(one, tuple(alias.name for alias in one.spec.communities))


def _helper(one: BFDProfile | Community, defines: tuple[str, ...]) -> StoredHelper:
    metadata, status = one.metadata, one.status
    return StoredHelper(
        one.KIND.kind, metadata.name, metadata.uid, metadata.generation, defines, status.conditions, status.to_wire()
    )


def _router_text(address: str | None, interface: str | None) -> str | None:
    """In canonical form, with the link where it is on one: %eth1 alone is the router that is found there."""
    parsed = parse_address(address) if address is not None else None
    text = str(parsed) if parsed is not None else ""
    return f"{text}%{interface}" if interface is not None else text or None


def decode_peer(raw: bytes) -> StoredPeer:
    """Raises pydantic.ValidationError, a ValueError."""
    one = BGPPeer.decode(raw)
    spec = one.spec
    endpoint = (_router_text(spec.peer_address, spec.interface), spec.peer_port, spec.vrf)
    metadata = one.metadata
    return StoredPeer(
        metadata.name,
        metadata.uid,
        metadata.generation,
        endpoint,
        one.status,
        spec.bfd_profile,
        spec.graceful_restart is not None,
        spec.router_id,
    )
