"""BGPPeer: a router that speakers hold BGP sessions with."""

from typing import Annotated, ClassVar

from pydantic import Field

from crds.addresses import Family
from crds.kind import AGE, Column, CustomKind, degraded_column, ready_column
from crds.markers import Format, Items, ListSet, Rule, Text
from crds.meta import BerthObject, JudgedStatus, LabelSelector, Model
from crds.rules import Address, InterfaceName, IPv4Text, ObjectName, PeerASN, QualifiedName

ASN = Annotated[int, Field(ge=1, le=4294967295), Format("int64")]


class PasswordSecretRef(Model):
    """A Secret in Berth's own namespace; speakers may read no others."""

    name: ObjectName
    """The Secret's name."""
    key: Annotated[str, Text(min_length=1, max_length=253, pattern="^[-._a-zA-Z0-9]+$")] = "password"
    """The key in the Secret's data."""


class GracefulRestart(Model):
    """Graceful restart (RFC 4724): the router keeps the routes while the speaker restarts."""

    restart_time_seconds: Annotated[int, Field(ge=1, le=4095), Format("int32")] = 120
    """How long the router waits for the session to come back, in seconds. An address that is released while the
    speaker is away stays reserved for as long."""


def _one_of(*fields: str) -> Rule:
    count = " + ".join(f"(has(self.{field}) ? 1 : 0)" for field in fields)
    return Rule(f"{count} == 1", f"set one of {', '.join(fields)}, and only one")


class ASNFrom(Model):
    """Where each node says its own AS number: one of these."""

    RULES = (_one_of("nodeAnnotation", "nodeLabel"),)

    node_annotation: QualifiedName | None = None
    """The key of an annotation of the Node. It holds a number from 1 to 4294967295."""
    node_label: QualifiedName | None = None
    """The key of a label of the Node. It holds such a number."""


class DefaultGateway(Model):
    """The router by which a node reaches the rest of the world."""

    interface: InterfaceName
    """The interface of the node that the default route leads out by."""
    family: Family = Family.IPv4
    """Of which family the default route is."""


class PeerAddressFrom(Model):
    """What says which address the peer of each node has: one of these."""

    RULES = (_one_of("nodeAnnotation", "nodeLabel", "defaultGateway"),)

    node_annotation: QualifiedName | None = None
    """The key of an annotation of the Node. It holds one IP address, which is no link-local one of IPv6."""
    node_label: QualifiedName | None = None
    """The key of a label of the Node. It holds an IPv4 address, as a label takes no colons."""
    default_gateway: DefaultGateway | None = None
    """The default gateway of the node's main routing table, on that interface."""


class SourceAddressFrom(Model):
    """What says which address of its own a node opens sessions from: one of these."""

    RULES = (_one_of("nodeAnnotation", "nodeLabel", "interface"),)

    node_annotation: QualifiedName | None = None
    """The key of an annotation of the Node. It holds one IP address of that node."""
    node_label: QualifiedName | None = None
    """The key of a label of the Node. It holds one IPv4 address of that node."""
    interface: InterfaceName | None = None
    """An interface of the node, such as lo. Its first address of the peer's family counts that others can reach."""


_IS_LINK_LOCAL = (
    "(isIP(self.peerAddress) && ip(self.peerAddress).family() == 6 && ip(self.peerAddress).isLinkLocalUnicast())"
)


class BGPPeerSpec(Model):
    """How to reach the peer, and what to agree with it."""

    RULES = (
        Rule(
            "has(self.peerAddress) || has(self.interface) || has(self.peerAddressFrom)",
            "set peerAddress, or peerAddressFrom (each node has its own), or interface (for a router that is found on "
            "that link), or peerAddress and interface (for one at fe80::...)",
        ),
        Rule(
            "!has(self.peerAddressFrom) || !has(self.peerAddress) && !has(self.interface)",
            "peerAddressFrom says which address the peer of each node has: leave peerAddress and interface out",
        ),
        Rule(
            "has(self.myASN) != has(self.myASNFrom)",
            "set myASN, or myASNFrom (each node has its own): one of them, and not both",
        ),
        Rule(
            "!has(self.sourceAddressFrom) || !has(self.sourceAddress)",
            "sourceAddressFrom says which address each node opens sessions from: leave sourceAddress out",
        ),
        Rule(
            f"!has(self.peerAddress) || has(self.interface) || !({_IS_LINK_LOCAL})",
            "peerAddress is a link-local address, which many links have: set interface, too, or a global peerAddress",
        ),
        Rule(
            f"!has(self.peerAddress) || !has(self.interface) || !isIP(self.peerAddress) || {_IS_LINK_LOCAL}",
            "interface goes with a link-local peerAddress (fe80::...) or alone: leave it out, or write such an address",
        ),
        Rule(
            "!has(self.interface) || !has(self.ebgpMultiHop) && (!has(self.ttlSecurity) || self.ttlSecurity == 1)",
            "a peer on a link (interface) is one hop away: leave ebgpMultiHop out, and ttlSecurity at 1",
        ),
        Rule(
            "!has(self.interface) || !has(self.sourceAddress) && !has(self.sourceAddressFrom)",
            "a session on a link (interface) has the node's own link-local address: leave sourceAddress and "
            "sourceAddressFrom out",
        ),
        Rule(
            "!(has(self.interface) || has(self.vrf)) || !self.passive",
            "passive is not possible with interface or vrf: leave it out, the router may wait for the nodes instead",
        ),
        Rule(
            "!has(self.keepaliveTimeSeconds) || self.holdTimeSeconds == 0"
            " || self.keepaliveTimeSeconds * 3 <= self.holdTimeSeconds",
            "keepaliveTimeSeconds is at most a third of holdTimeSeconds: lower it, or leave it out",
        ),
        Rule(
            "!has(self.ebgpMultiHop) || !has(self.ttlSecurity)",
            "ebgpMultiHop and ttlSecurity exclude each other: ttlSecurity says by itself how many hops are allowed",
        ),
        Rule(
            "!has(self.ebgpMultiHop) || !(self.peerASN == 'Internal' || has(self.myASN) && self.peerASN == self.myASN)",
            "ebgpMultiHop is for external peers, and this one is in our own AS: leave it out",
        ),
        Rule(
            "!has(self.localASN) || self.peerASN != 'Internal' && self.peerASN != self.localASN"
            " && !(has(self.myASN) && (self.peerASN == self.myASN || self.localASN == self.myASN))",
            "localASN is an AS other than ours and the peer's, for external peers: leave it out where these are one",
        ),
        Rule(
            "!self.confederationMember || !has(self.localASN)",
            "localASN is for peers outside of the confederation: leave it out, or confederationMember",
        ),
        Rule(
            "!self.confederationMember"
            " || self.peerASN != 'Internal' && !(has(self.myASN) && self.peerASN == self.myASN)",
            "confederationMember is for peers in another member AS, and this one is in ours: leave it out, such peers "
            "need no word about it",
        ),
        Rule(
            "!has(self.sourceAddress) || !has(self.peerAddress) || !isIP(self.sourceAddress) || !isIP(self.peerAddress)"
            " || ip(self.sourceAddress).family() == ip(self.peerAddress).family()",
            "sourceAddress and peerAddress must be of the same family",
        ),
    )

    my_asn: ASN | None = Field(None, alias="myASN")
    """The AS number of the speakers' side. Either this or myASNFrom is set."""
    my_asn_from: ASNFrom | None = Field(None, alias="myASNFrom")
    """Where each node says the AS number of its own side. A node that says none, or none that can be read, has no
    session; a condition names it."""
    local_asn: ASN | None = Field(None, alias="localASN")
    """Another AS number that this peer is to see us with (RFC 7705), as while a network moves from one AS to another.
    The session has this number, and paths begin with it, before ours. To have the peer see this number alone, write it
    as myASN. Not set: ours."""
    peer_asn: PeerASN = Field(alias="peerASN")
    """The peer's AS number; or External (any but ours) or Internal (ours)."""
    confederation_member: bool = False
    """Whether the peer is in another member AS of the confederation that ours is a member of (RFC 5065). Paths to it
    begin with AS_CONFED_SEQUENCE, and have LOCAL_PREF. A router outside of the confederation knows us by the AS number
    of the whole of it (its identifier): write that as myASN then, and leave this out."""
    peer_address: Address | None = None
    """The peer's address. A link-local one (fe80::1) needs `interface`, too. Not set: what peerAddressFrom says, or the
    router that is heard on `interface`."""
    peer_address_from: PeerAddressFrom | None = None
    """What says which address the peer of each node has, so that one BGPPeer is the router of each rack. A node for
    which it gives none has no session; a condition names it. One for which it gives another than before has a session
    with another router: routes are withdrawn from the former one first."""
    interface: InterfaceName | None = None
    """The interface of the node that the peer is on, for a session over link-local addresses. Without peerAddress
    (unnumbered) the peer is the router that sends Router Advertisements there (RFC 4861), and the node sends some,
    which make it nobody's default router. It must be called the same on all nodes that nodeSelector chooses."""
    peer_port: Annotated[int, Field(ge=1, le=65535), Format("int32")] = 179
    """The peer's TCP port."""
    source_address: Address | None = None
    """The own address that sessions are opened from. Not set: the one that the routing table gives."""
    source_address_from: SourceAddressFrom | None = None
    """What says which own address each node opens sessions from. A node for which it gives none of the peer's family
    has no session; a condition names it."""
    router_id: IPv4Text | None = Field(None, alias="routerID")
    """The BGP identifier, written as an IPv4 address; it must differ from node to node, so give it only to a peer
    that one node has. Not set: the node's IPv4 address, or a number made from its name."""
    hold_time_seconds: Annotated[
        int,
        Field(ge=0, le=65535),
        Format("int32"),
        Rule("self == 0 || self >= 3", "write 0 (the session never expires) or at least 3 seconds (RFC 4271 §4.2)"),
    ] = 90
    """After how many seconds of silence the session is down: 0 (never) or at least 3 (RFC 4271 §4.2)."""
    keepalive_time_seconds: Annotated[int, Field(ge=1, le=21845), Format("int32")] | None = None
    """How often to say that we are there, in seconds; at most a third of the hold time. Not set: a third of it."""
    connect_retry_seconds: Annotated[int, Field(ge=1, le=65535), Format("int32")] = 10
    """How long to wait before the next attempt to connect, in seconds."""
    passive: bool = False
    """Whether to wait for the peer to connect, instead of connecting to it: on TCP port 179 of sourceAddress, or else
    of the node's InternalIP of the peer's family. Nothing else on the node may use that port."""
    password_secret_ref: PasswordSecretRef | None = None
    """The password for TCP MD5 signatures (RFC 2385). Not set: none."""
    ebgp_multi_hop: Annotated[int, Field(ge=2, le=255), Format("int32")] | None = None
    """How many hops away an external peer may be (the TTL of our packets). Not set: it must be on a connected
    network."""
    ttl_security: Annotated[int, Field(ge=1, le=254), Format("int32")] | None = None
    """Accept packets only from peers at most so many hops away (GTSM, RFC 5082). Not set: no check."""
    graceful_restart: GracefulRestart | None = None
    """Graceful restart (RFC 4724). Not set: a speaker that stops withdraws its routes."""
    bfd_profile: ObjectName | None = None
    """The BFDProfile to watch the path with. Not set: no BFD."""
    node_selector: LabelSelector | None = None
    """Only nodes with these labels hold a session with the peer. Not set: all nodes."""
    families: Annotated[tuple[Family, ...], Items(maximum=2), ListSet()] = ()
    """The families whose routes are exchanged: IPv4, IPv6. Empty: the family of peerAddress; both with `interface`."""
    vrf: InterfaceName | None = None
    """The VRF device on the node that the session runs in, and BFD with it. Not set: the default one."""


class SessionCount(Model):
    """How many sessions of a kind the speakers hold with the peer."""

    wanted: Annotated[int, Field(ge=0), Format("int32")]
    """How many speakers should have one, or are kept from having one by a fault."""
    established: Annotated[int, Field(ge=0), Format("int32")]
    """How many of these are up."""
    summary: Annotated[str, Text(max_length=32)]
    """Both as a text for tables, such as 2/3."""


class BGPPeerStatus(JudgedStatus):
    """What Berth made of the peer; the sessions themselves are in the status of each Speaker."""

    sessions: SessionCount | None = None
    """How many sessions there are, and how many there should be."""
    bfd: SessionCount | None = None
    """The same of the BFD sessions that watch the path. Not set: there is to be none (bfdProfile)."""


class BGPPeer(BerthObject):
    """A router that speakers hold BGP sessions with."""

    KIND: ClassVar[CustomKind] = CustomKind(
        kind="BGPPeer",
        plural="bgppeers",
        short_names=("bgpp",),
        columns=(
            Column("Address", ".spec.peerAddress", description="The peer's address."),
            Column("Interface", ".spec.interface", description="The interface of an unnumbered peer.", priority=1),
            Column("My-ASN", ".spec.myASN", "integer", "Our AS number."),
            Column("Peer-ASN", ".spec.peerASN", description="The peer's AS number."),
            Column("BFD-Profile", ".spec.bfdProfile", description="The BFD profile.", priority=1),
            Column("BFD", ".status.bfd.summary", description="BFD sessions that are up, of how many."),
            Column("Sessions", ".status.sessions.summary", description="Sessions that are up, of how many."),
            ready_column(),
            degraded_column(),
            AGE,
        ),
    )

    kind: str = "BGPPeer"
    spec: BGPPeerSpec
    """How to reach the peer, and what to agree with it."""
    status: BGPPeerStatus = BGPPeerStatus()
    """What Berth made of the peer; written by the allocator."""
