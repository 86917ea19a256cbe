"""What a speaker keeps of each object it watches: small immutable values, decoded straight from the wire.

A node holds thousands of these, so they keep only what decides an announcement. Two values that decide the same are
equal, whatever else changed in the object (a node's heartbeat, another speaker's acknowledgements). Decides nothing
itself. Operators' few configuration objects (L2Advertisement) are kept whole: crds.types reads them.

What grows with a list or a text that a node writes of itself is bounded here, and what is beyond that is left out: the
other nodes work with it. docs/limits.md names the bounds.
"""

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

import msgspec

from crds.addresses import IPAddress, plain_address
from crds.conditions import ConditionType, Reason
from crds.names import LABEL_DRAINED, LABEL_EXCLUDE_NODE, TAINT_DELETION, TAINT_OUT_OF_SERVICE, allocation_name
from crds.speaker import MOST_NETWORKS, Standing, word_on_machines, word_on_routers
from kube.decoding import decoder
from kube.objects import Condition, Node, NodeSystemInfo, ServiceKey, decode_endpoint_slice, decode_node
from speaker.cluster.networks import Attached, network_of
from speaker.cluster.tiers import tier

Labels = dict[str, str]

MOST_ADDRESSES_OF_A_FAMILY = 2
"""InternalIPs of a Node. Heartbeats go to the first, BGP needs the first of each family; a node can list thousands."""
MOST_INTERFACES = 64
"""Of a Speaker. Its own process shows no more."""
MOST_INTERFACE_CHARACTERS = 15
"""Of an interface's name (linux/if.h IFNAMSIZ)."""
MOST_NETWORK_CHARACTERS = 49
"""Of an IPv6 address and its prefix length."""
MOST_VALUE_CHARACTERS = 64
"""Of an annotation of the own node: no address and no number is so long."""
MAC_CHARACTERS = 17
"""Of an Ethernet address: no other counts."""

_TIERS = {
    Standing.Waiting.value: tier(is_leaving=False, is_behind=False, is_member=False),
    Standing.Behind.value: tier(is_leaving=False, is_behind=True, is_member=False),
    Standing.Leaving.value: tier(is_leaving=True, is_behind=False, is_member=True),
}


class Holder(msgspec.Struct, frozen=True, gc=False):
    """A Service that holds the address. `health_port`: its healthCheckNodePort, 0 = none. `node`: the one that it wants
    to own the address, "" = any."""

    service: ServiceKey
    labels: Labels
    health_port: int = 0
    node: str = ""


class Allocation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An IPAllocation. `is_local` is externalTrafficPolicy Local.

    `address` is in canonical spelling. It is empty in an object made by hand that is not named after its address: no
    speaker announces that one, but its release is confirmed like any other.
    """

    name: str
    uid: str
    generation: int
    address: str
    pool: str
    holders: tuple[Holder, ...]
    is_local: bool
    is_releasing: bool
    was_announced: bool = False
    """By any speaker, at any time."""

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.address

    def service_labels(self) -> tuple[Labels, ...]:
        """Of each holder."""
        return tuple(holder.labels for holder in self.holders)

    @property
    def wanted_node(self) -> str:
        """The node that its first holder with such a wish asks for; "" = any."""
        return next((holder.node for holder in self.holders if holder.node), "")


class PoolFacts(msgspec.Struct, frozen=True, gc=False):
    """An IPPool. `is_probed`: its addresses are probed before their first announcement."""

    labels: Labels
    is_probed: bool = False


class NodeFacts(msgspec.Struct, frozen=True, gc=False):
    """A Node. `uid` tells a node that was deleted and made again from the one that was always there."""

    uid: str
    labels: Labels
    excluded_by: tuple[str, ...]
    """What of it says that it takes no traffic from load balancers, in words: a label, or a taint."""
    is_network_unavailable: bool
    addresses: tuple[str, ...] = ()
    """Its InternalIPs, in canonical spelling: where its speaker can be written to."""
    is_out_of_service: bool = False
    """Tainted as shut down: an operator's word."""
    is_cordoned: bool = False
    """As it was read (spec.unschedulable). Whether that excludes it, its speaker says: as_its_speaker_sees."""
    annotations: Labels = {}
    """Of the own node: rules of BGPPeers may point at them. Long values are cut, as nothing that counts is long."""
    system: NodeSystemInfo = NodeSystemInfo()
    """Of the own node: which machine it is."""

    @property
    def is_excluded(self) -> bool:
        """Whether anything says so."""
        return bool(self.excluded_by)


class SpeakerFacts(msgspec.Struct, frozen=True, gc=False):
    """A Speaker object. `interfaces` are those it can announce on, sorted.

    `is_serving`: its condition Ready says that it announces what it owns, or did before it fell silent. To the others a
    speaker that still reads the objects owns nothing, so an address does not leave its present owner before the next
    one answers. `tier`: its standing as a number, lower is better (speaker.cluster.tiers.tier).
    """

    uid: str
    incarnation: str
    said_goodbye: bool
    is_serving: bool
    interfaces: tuple[str, ...]
    macs: frozenset[str]
    """Of all its interfaces: a frame from one of these comes from a speaker, not from a stranger."""
    tier: int = 0
    dropped_routers: frozenset[str] = frozenset()
    """An operator's word: these routers keep no route of its former sessions (ANNOTATION_DROPPED_ROUTERS)."""
    machines_off: frozenset[str] = frozenset()
    """An operator's word: the machines with these boot ids are off (ANNOTATION_DEAD_MACHINES)."""
    is_called_silent: bool = False
    """An allocator wrote that nothing is heard of it. It was serving before; whether it lives, its Lease and its
    heartbeats tell."""
    ignores_exclude_label: bool = False
    """It announces also where its Node has that label."""
    drains_when_cordoned: bool = False
    """It takes a cordoned Node for one that is drained."""
    attached: dict[str, Attached] = {}
    """What its usable interfaces are attached to, by name; to be read only."""


class SliceFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An EndpointSlice: the nodes that have a ready endpoint, and those that have one serving until it ends (KEP-1669).

    `is_ready_unplaced`, `is_draining_unplaced`: there are such endpoints without a nodeName. `several`: how many ready
    endpoints a node has, for those with more than one. Only weights depend on it (BGPAdvertisement).
    """

    service: ServiceKey | None
    is_ipv6: bool
    ready: frozenset[str]
    draining: frozenset[str]
    is_ready_unplaced: bool
    is_draining_unplaced: bool
    several: frozenset[tuple[str, int]] = frozenset()

    def count(self, node: str) -> int:
        """How many endpoints are ready on that node."""
        if node not in self.ready:
            return 0
        return next((count for name, count in self.several if name == node), 1)


class _Meta(msgspec.Struct, frozen=True, gc=False):
    name: str
    uid: str = ""
    generation: int = 0


class _Holder(msgspec.Struct, frozen=True, rename="camel", gc=False):
    namespace: str
    name: str
    labels: Labels | None = None
    health_check_node_port: int | None = None
    node: str | None = None


class _AllocationSpec(msgspec.Struct, frozen=True, rename="camel", gc=False):
    address: str
    pool: str = ""
    holders: tuple[_Holder, ...] | None = None
    traffic_policy: str = "Cluster"
    releasing: bool = False


class _AllocationStatus(msgspec.Struct, frozen=True, rename="camel", gc=False):
    announced_by: tuple[str, ...] | None = None
    first_announced: str | None = None


class _Allocation(msgspec.Struct, frozen=True, gc=False):
    metadata: _Meta
    spec: _AllocationSpec
    status: _AllocationStatus | None = None


class _PoolSpec(msgspec.Struct, frozen=True, rename="camel", gc=False):
    duplicate_address_detection: bool = False


class _PoolMeta(msgspec.Struct, frozen=True, gc=False):
    labels: Labels | None = None


class _Pool(msgspec.Struct, frozen=True, gc=False):
    metadata: _PoolMeta
    spec: _PoolSpec = _PoolSpec()


class _Interface(msgspec.Struct, frozen=True, gc=False):
    name: str
    mac: str = ""
    up: bool = False
    usable: bool = False
    networks: tuple[str, ...] | None = None
    ipv6: bool | None = None

    def attached(self) -> Attached:
        if self.ipv6 is None:
            return Attached()
        told = (text for text in (self.networks or ())[:MOST_NETWORKS] if len(text) <= MOST_NETWORK_CHARACTERS)
        networks = map(network_of, told)
        return Attached(frozenset(one for one in networks if one is not None), self.ipv6)


class _SpeakerStatus(msgspec.Struct, frozen=True, rename="camel", gc=False):
    incarnation: str = ""
    goodbye: bool = False
    standing: str = ""
    ignores_exclude_label: bool = False
    drains_when_cordoned: bool = False
    interfaces: tuple[_Interface, ...] | None = None
    conditions: tuple[Condition, ...] | None = None


class _SpeakerMeta(msgspec.Struct, frozen=True, gc=False):
    uid: str = ""
    annotations: dict[str, str] | None = None


class _Speaker(msgspec.Struct, frozen=True, gc=False):
    metadata: _SpeakerMeta
    status: _SpeakerStatus = _SpeakerStatus()


_decode_allocation = decoder(_Allocation)
_decode_pool = decoder(_Pool)
_decode_speaker = decoder(_Speaker)


def allocation_from(raw: bytes) -> Allocation:
    """Raises ValueError for what is not JSON or has other types than an IPAllocation."""
    seen = _decode_allocation(raw)
    return Allocation(
        name=seen.metadata.name,
        uid=seen.metadata.uid,
        generation=seen.metadata.generation,
        address=_address_of(seen),
        pool=_shared(seen.spec.pool),
        holders=tuple(
            Holder(
                ServiceKey(_shared(holder.namespace), holder.name),
                _shared_labels(holder.labels),
                _port(holder.health_check_node_port),
                _shared(holder.node or ""),
            )
            for holder in seen.spec.holders or ()
        ),
        is_local=seen.spec.traffic_policy == "Local",
        is_releasing=seen.spec.releasing,
        was_announced=seen.status is not None and bool(seen.status.first_announced or seen.status.announced_by),
    )


def _port(number: int | None) -> int:
    """0 = none, or no port that there can be."""
    return number if number is not None and 0 < number < 1 << 16 else 0


def _address_of(seen: _Allocation) -> str:
    address = plain_address(seen.spec.address)
    return str(address) if address is not None and allocation_name(address) == seen.metadata.name else ""


def node_from(raw: bytes, own_node: str = "") -> NodeFacts:
    """`own_node`: the one whose annotations and machine are kept. KEP-1143 excludes a node by its label. As in
    Kubernetes' service controller, the value "false" does not exclude, and the cluster autoscaler's taint does,
    whatever its effect."""
    node = decode_node(raw)
    labels = node.metadata.labels
    is_own = node.metadata.name == own_node
    return NodeFacts(
        uid=node.metadata.uid,
        labels=labels,
        excluded_by=_exclusions(node),
        is_network_unavailable=node.condition("NetworkUnavailable") == "True",
        addresses=_internal_addresses(node),
        is_out_of_service=node.has_taint(TAINT_OUT_OF_SERVICE),
        is_cordoned=node.spec.unschedulable,
        annotations=_cut(node.metadata.annotations) if is_own else {},
        system=node.status.node_info if is_own else NodeSystemInfo(),
    )


def _cut(annotations: Labels) -> Labels:
    return {key: value[:MOST_VALUE_CHARACTERS] for key, value in annotations.items()}


def as_its_speaker_sees(node: NodeFacts, speaker: SpeakerFacts | None) -> NodeFacts:
    """The same, without the label that excludes it, where its speaker says that it ignores that, and excluded by a
    cordon, where its speaker says that it drains then. All go by what the Speaker says, and not by their own
    configuration, so that they agree while that is changed node by node."""
    ignores = speaker is not None and speaker.ignores_exclude_label and _BY_LABEL in node.excluded_by
    if not (ignores or node.is_cordoned):
        return node
    excluded_by = tuple(why for why in node.excluded_by if not (ignores and why == _BY_LABEL))
    if node.is_cordoned and speaker is not None and speaker.drains_when_cordoned:
        excluded_by = (*excluded_by, BY_CORDON)
    return msgspec.structs.replace(node, excluded_by=excluded_by, is_cordoned=False)


BY_CORDON = "kubectl cordon (speaker.drainWhenCordoned)"
_BY_LABEL = f"the label {LABEL_EXCLUDE_NODE}"
_LABELS = {LABEL_EXCLUDE_NODE: _BY_LABEL, LABEL_DRAINED: f"the label {LABEL_DRAINED}"}


def _exclusions(node: Node) -> tuple[str, ...]:
    """Few different ones, each kept once."""
    labels = tuple(why for name, why in _LABELS.items() if node.metadata.labels.get(name, "false") != "false")
    return (*labels, f"the taint {TAINT_DELETION}") if node.has_taint(TAINT_DELETION) else labels


def _internal_addresses(node: Node) -> tuple[str, ...]:
    """In the Node's order. The API server does not check them."""
    read = (plain_address(one.address) for one in node.status.addresses if one.type == "InternalIP")
    known = list(dict.fromkeys(address for address in read if address is not None))
    kept = {one for version in (4, 6) for one in _first(known, version)}
    return tuple(str(address) for address in known if address in kept)


def _first(addresses: list[IPAddress], version: int) -> Iterator[IPAddress]:
    return islice((one for one in addresses if one.version == version), MOST_ADDRESSES_OF_A_FAMILY)


def speaker_from(raw: bytes) -> SpeakerFacts:
    """Interfaces that are down, or that the speaker found unfit, are left out; so is what no interface is called."""
    seen = _decode_speaker(raw)
    ready = next((one for one in seen.status.conditions or () if one.type == ConditionType.Ready), None)
    is_called_silent = ready is not None and (ready.status, ready.reason) == ("Unknown", Reason.NodeSilent)
    interfaces = (seen.status.interfaces or ())[:MOST_INTERFACES]
    usable = {_shared(one.name): one for one in interfaces if one.up and one.usable and _can_be_name(one.name)}
    return SpeakerFacts(
        uid=seen.metadata.uid,
        incarnation=seen.status.incarnation,
        said_goodbye=seen.status.goodbye,
        is_serving=ready is not None and (ready.status == "True" or is_called_silent),
        interfaces=tuple(sorted(usable)),
        macs=frozenset(one.mac for one in interfaces if len(one.mac) == MAC_CHARACTERS),
        tier=_TIERS.get(seen.status.standing, 0),
        ignores_exclude_label=seen.status.ignores_exclude_label,
        drains_when_cordoned=seen.status.drains_when_cordoned,
        is_called_silent=is_called_silent,
        dropped_routers=word_on_routers(seen.metadata.annotations)[1],  # of any process: see speaker.bgp.remembered
        machines_off=word_on_machines(seen.metadata.annotations),
        attached={name: one.attached() for name, one in usable.items()},
    )


def _can_be_name(name: str) -> bool:
    return 0 < len(name) <= MOST_INTERFACE_CHARACTERS


def slice_from(raw: bytes) -> SliceFacts:
    """Endpoints that are neither ready nor serving while they terminate count nowhere."""
    seen = decode_endpoint_slice(raw)
    ready = [one.node_name for one in seen.endpoints if one.is_ready]
    draining = [one.node_name for one in seen.endpoints if not one.is_ready and one.is_serving and one.is_terminating]
    name = seen.service_name
    return SliceFacts(
        service=ServiceKey(_shared(seen.metadata.namespace or ""), name) if name else None,
        is_ipv6=seen.address_type == "IPv6",
        ready=_shared_nodes(frozenset(node for node in ready if node)),
        draining=_shared_nodes(frozenset(node for node in draining if node)),
        is_ready_unplaced=not all(ready),
        is_draining_unplaced=not all(draining),
        several=_shared_counts(
            frozenset((_shared(node), count) for node, count in Counter(ready).items() if node and count > 1)
        ),
    )


def pool_from(raw: bytes) -> PoolFacts:
    """Which addresses it has is the allocator's business."""
    seen = _decode_pool(raw)
    return PoolFacts(seen.metadata.labels or _NO_LABELS, seen.spec.duplicate_address_detection)


@lru_cache(maxsize=4096)
def _shared(text: str) -> str:
    """One copy of a text that is in thousands of objects."""
    return text


@lru_cache(maxsize=4096)
def _shared_nodes(nodes: frozenset[str]) -> frozenset[str]:
    return nodes


@lru_cache(maxsize=4096)
def _shared_counts(counts: frozenset[tuple[str, int]]) -> frozenset[tuple[str, int]]:
    return counts


def _shared_labels(labels: Labels | None) -> Labels:
    """One dictionary for all holders with the same labels; to be read only."""
    return _labels_of(tuple(sorted(labels.items()))) if labels else _NO_LABELS


@lru_cache(maxsize=4096)
def _labels_of(items: tuple[tuple[str, str], ...]) -> Labels:
    return {_shared(key): _shared(value) for key, value in items}


_NO_LABELS: Labels = {}
