"""IPAllocation: the record that an address is in use, by whom, and whether it is being given back.

The allocator writes them, one for each address; speakers watch them. Users only read them.
"""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from crds.kind import AGE, Column, CustomKind
from crds.markers import AtomicMap, Format, Items, ListMap, ListSet, Rule, Text
from crds.meta import BerthObject, ConditionedStatus, Labels, Model
from crds.rules import Address, Namespace, NodeName, ObjectName
from crds.wording import COLUMN_CHARACTERS

MOST_PORTS = 4096
"""Ports of one holder; of three protocols there could be 196,605. About 140 KB as JSON."""

MOST_LABELS = 64
"""Labels of one holder, and entries of the selector; about 25 KB at the longest that Kubernetes takes."""

MOST_KEY_CHARACTERS = 1024
"""Of a sharing key."""

MOST_BYTES = 1 << 20
"""Of the holders of one address as JSON; the allocator keeps this one. A request to etcd takes 1.5 MiB
(`--max-request-bytes`), and the status and managedFields are in it too."""

FewLabels = Annotated[Labels, Items(maximum=MOST_LABELS), AtomicMap()]


MOST_NAMED = 10
"""Nodes in a status. By BGP it may be all of the cluster."""


class TrafficPolicy(StrEnum):
    """externalTrafficPolicy of the Services at an address."""

    Cluster = "Cluster"
    Local = "Local"


class TransportProtocol(StrEnum):
    """Protocol of a Service port."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


class ServicePort(Model):
    """A port that a holder occupies on the address."""

    protocol: TransportProtocol = TransportProtocol.TCP
    """TCP, UDP or SCTP."""
    port: Annotated[int, Field(ge=1, le=65535), Format("int32")]
    """The port's number."""


class Holder(Model):
    """A Service that holds the address."""

    namespace: Namespace
    """The Service's namespace."""
    name: ObjectName
    """The Service's name."""
    uid: Annotated[str, Text(min_length=1, max_length=128)]
    """The Service's uid: a Service that was deleted and created again is another holder."""
    ports: Annotated[tuple[ServicePort, ...], Items(maximum=MOST_PORTS)] = ()
    """The ports that the Service occupies; holders of one address never share a port of the same protocol."""
    labels: FewLabels = Field(default_factory=dict)
    """The Service's labels, for the serviceSelector of advertisements."""
    health_check_node_port: Annotated[int, Field(ge=1, le=65535), Format("int32")] | None = None
    """The Service's healthCheckNodePort, with the policy Local: where each node's proxy says whether it has rules for
    endpoints of its own. A node that takes the address over from one that still serves asks there first."""
    node: NodeName | None = None
    """The node that the Service asks for (berth.dev/node): it owns the address on layer 2 where it can. Of several
    holders the first one that asks is heard."""


Holders = Annotated[tuple[Holder, ...], Items(1, 1024), ListMap("uid")]


class IPAllocationSpec(Model):
    """Who holds which address."""

    RULES = (
        Rule(
            "!oldSelf.releasing || self.releasing",
            "a release can't be taken back: speakers have begun to withdraw; wait until the object is gone",
        ),
    )

    address: Annotated[
        Address,
        Rule("!isIP(self) || ip.isCanonical(self)", "write the address in canonical form (RFC 5952), as 2001:db8::1"),
        Rule(
            "self == oldSelf",
            "the address of an IPAllocation never changes; to move a Service, request another address with the "
            "annotation berth.dev/ips on the Service",
        ),
    ]
    """The address, in canonical form."""
    pool: ObjectName
    """The IPPool that the address was taken from."""
    holders: Holders
    """The Services that hold the address; more than one when they share it."""
    traffic_policy: TrafficPolicy = TrafficPolicy.Cluster
    """The holders' externalTrafficPolicy. With Local only nodes that have a ready endpoint announce the address."""
    sharing_key: Annotated[str, Text(max_length=MOST_KEY_CHARACTERS)] | None = None
    """The key that Services must carry to share the address. Not set: it is not shared."""
    selector: FewLabels = Field(default_factory=dict)
    """The holders' selector. Services that share an address under the policy Local have the same one."""
    external: bool | None = None
    """Whether the holders name it in spec.externalIPs, and did not get it from the pool (IPPool, externalIPs)."""
    releasing: bool = False
    """Whether the address is being given back: speakers withdraw it and confirm. It never becomes false again."""


class IPAllocationStatus(ConditionedStatus):
    """What is seen of the address on the network."""

    announced_by: Annotated[tuple[NodeName, ...], Items(maximum=MOST_NAMED), ListSet()] = ()
    """Nodes whose speakers say that they announce the address: of more than 10 those that do so on layer 2, then the
    first ones by name. Who announces it by BGP is brought up to date when there is time."""
    announcer_count: Annotated[int, Field(ge=0), Format("int32")] = 0
    """How many nodes announce it, as of then."""
    nodes: Annotated[str, Text(max_length=COLUMN_CHARACTERS)] = ""
    """The same as a text for tables: node1,node2, or node1,node2,node3+497; empty while nobody announces it."""
    first_announced: Annotated[str, Format("date-time")] | None = None
    """When a speaker first announced the address. From then on it is not probed any more, whatever the pool says."""


class IPAllocation(BerthObject):
    """One IP address in use. Written by Berth: to change it, change the Service."""

    RULES = (
        Rule(
            "!isIP(self.spec.address) || (ip(self.spec.address).family() == 4"
            " ? self.metadata.name == 'v4-' + self.spec.address.replace('.', '-')"
            " : self.metadata.name.startsWith('v6-'))",
            "the name of an IPAllocation follows from its address (v4-192-0-2-10), so that no address has two holders; "
            "Berth creates these objects itself when a Service needs an address",
        ),
    )

    KIND: ClassVar[CustomKind] = CustomKind(
        kind="IPAllocation",
        plural="ipallocations",
        short_names=("ipa",),
        columns=(
            Column("Address", ".spec.address", description="The address."),
            Column("Pool", ".spec.pool", description="The IPPool that it was taken from."),
            Column(
                "Namespace", ".spec.holders[*].namespace", description="The namespaces of the Services that hold it."
            ),
            Column("Service", ".spec.holders[*].name", description="The Services that hold it."),
            Column("Nodes", ".status.nodes", description="The nodes that announce it."),
            Column("Announcers", ".status.announcerCount", "integer", "How many nodes announce it.", priority=1),
            Column(
                "State", '.status.conditions[?(@.type=="Announced")].reason', description="Whether it is announced."
            ),
            Column("Policy", ".spec.trafficPolicy", description="externalTrafficPolicy of its holders.", priority=1),
            Column("External", ".spec.external", "boolean", "Whether it is an external IP.", priority=1),
            Column("Releasing", ".spec.releasing", "boolean", "Whether it is being given back.", priority=1),
            AGE,
        ),
        selectable=(".spec.address", ".spec.pool", ".spec.releasing", ".spec.sharingKey"),
    )

    kind: str = "IPAllocation"
    spec: IPAllocationSpec
    """Who holds which address; written by the allocator."""
    status: IPAllocationStatus = IPAllocationStatus()
    """What is seen of the address on the network; written by the allocator from what the speakers report."""
