"""SpeakerReport: what the speaker of one node reports, cut into slices, as EndpointSlices are.

Named after the node and the slice (`node1.0`), and written by that node's speaker alone. One change rewrites one slice,
a few KB. People read reports, and the allocator for what it tells people; no release ever waits for one, and no other
speaker reads them. How often they are written is a budget that the whole cluster shares.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from crds.kind import AGE, Column, CustomKind
from crds.markers import AtomicMap, Items, ListMap, Rule, Text
from crds.meta import BerthObject, ConditionedStatus, Model
from crds.rules import NodeName
from crds.speaker import (
    AddressConflict,
    Announcement,
    BFDSession,
    BGPPath,
    BGPSession,
    Fault,
    HeardSpeaker,
    Interface,
    KernelAnswer,
    Unannounced,
)

MOST_ENTRIES = 100
"""In one slice: announcements, sessions and the like together."""
WRITES_PER_SECOND = 20
"""Of all reports of a cluster together. The interval of one speaker grows with the number of nodes."""


def report_name(node: str, number: int) -> str:
    """The name of a slice. No node's name can make it that of another node's slice."""
    return f"{node}.{number}"


class SpeakerReportSpec(Model):
    """Whose report it is."""

    RULES = (Rule("self == oldSelf", "a report keeps its node; delete it, and the speaker writes anew"),)

    node: NodeName
    """The node. Slice 0 is always there, and carries what the node has once: conditions, interfaces."""


class SpeakerReportStatus(ConditionedStatus):
    """A part of what the speaker does."""

    incarnation: Annotated[str, Text(max_length=64)] = ""
    """The process that wrote it. It counts only while the node's Speaker names the same one."""
    announcements: Annotated[dict[str, Announcement], Items(maximum=MOST_ENTRIES), AtomicMap()] = Field(
        default_factory=dict
    )
    """What it announces, by address."""
    interfaces: Annotated[tuple[Interface, ...], Items(maximum=256), ListMap("name")] = ()
    """The node's network interfaces, with why some are not usable."""
    conflicts: Annotated[tuple[AddressConflict, ...], Items(maximum=MOST_ENTRIES), ListMap("address")] = ()
    """Other machines that use addresses which this node announces, or would announce."""
    kernel_answers: Annotated[tuple[KernelAnswer, ...], Items(maximum=MOST_ENTRIES), ListMap("address")] = ()
    """Addresses that are announced on layer 2, by whichever node, and that this node's kernel answers for by itself; in
    all slices together 256 at most."""
    unannounced: Annotated[tuple[Unannounced, ...], Items(maximum=MOST_ENTRIES), ListMap("address")] = ()
    """Addresses that no node announces, and why: each is told by one speaker. The allocator puts it into the condition
    Announced of the IPAllocation."""
    heard: Annotated[tuple[HeardSpeaker, ...], Items(maximum=64), ListMap("node")] = ()
    """The other speakers that it hears; of more than 64 the first ones by name. Condition PeersHeard is about all."""
    bgp_sessions: Annotated[tuple[BGPSession, ...], Items(maximum=MOST_ENTRIES), ListMap("peer")] = ()
    """Its BGP sessions."""
    bgp_paths: Annotated[tuple[BGPPath, ...], Items(maximum=MOST_ENTRIES), ListMap("name")] = ()
    """With which path attributes its routes were sent; in all slices together 256 at most."""
    bfd_sessions: Annotated[tuple[BFDSession, ...], Items(maximum=MOST_ENTRIES), ListMap("peer")] = ()
    """Its BFD sessions."""
    faults: Annotated[tuple[Fault, ...], Items(maximum=32)] = ()
    """What it finds wrong with BGPPeers and BGPAdvertisements. The allocator puts it into the conditions of these."""


class SpeakerReport(BerthObject):
    """A part of what one node's speaker reports. Written by that speaker, read by allocators and people."""

    RULES = (
        Rule(
            "self.metadata.name.lastIndexOf('.') > 0"
            " && self.metadata.name.substring(0, self.metadata.name.lastIndexOf('.')) == self.spec.node"
            " && self.metadata.name.matches('[.][0-9]{1,5}$')",
            "the name of a report is its node and its slice, such as node1.0: Berth writes these objects itself",
        ),
    )

    KIND: ClassVar[CustomKind] = CustomKind(
        kind="SpeakerReport",
        plural="speakerreports",
        short_names=("spkr",),
        columns=(
            Column("Node", ".spec.node", description="The node."),
            Column(
                "Announceable",
                '.status.conditions[?(@.type=="Announceable")].status',
                description="Whether every address has a node that may announce it; in slice 0.",
            ),
            Column(
                "Hears",
                '.status.conditions[?(@.type=="PeersHeard")].status',
                description="Whether heartbeats of the other speakers arrive; in slice 0.",
            ),
            AGE,
        ),
        selectable=(".spec.node",),
    )

    kind: str = "SpeakerReport"
    spec: SpeakerReportSpec
    """Whose report it is."""
    status: SpeakerReportStatus = SpeakerReportStatus()
    """A part of what the speaker does; written by the speaker."""
