"""Speaker: who the speaker of one node is, and what others must know of it.

Its name is the node's name, and only that node's speaker writes it; but Ready=Unknown of one that is silent is an
allocator's word. All speakers watch it, so it is small and changes seldom, whatever the node announces. What was
confirmed, and what people read, are objects of their own (crds.releaseconfirmation, crds.speakerreport); the entries of
reports are here, too.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from crds.addresses import addresses_in
from crds.kind import AGE, Column, CustomKind, ready_column
from crds.markers import Format, Items, ListMap, ListSet, Text
from crds.meta import BerthObject, ConditionedStatus, Model
from crds.names import ANNOTATION_DEAD_MACHINES, ANNOTATION_DROPPED_ROUTERS
from crds.rules import ADDRESS_LENGTH, AddressText, InterfaceName, NodeName, ObjectName

Time = Annotated[str, Format("date-time")]
Seconds = Annotated[int, Field(ge=0), Format("int32")]
Message = Annotated[str, Text(max_length=1024)]

MOST_ROUTERS = 256
"""That one speaker remembers."""
MOST_ELSEWHERE = 8
"""Machines with one node name."""
FOREVER_SECONDS = 2**31 - 1
"""In place of an infinite time, of a router that keeps routes until it hears otherwise (hold time 0)."""
MOST_INTERFACES = 64
"""Of one node; its report has more of them."""
MOST_NETWORKS = 8
"""Of one interface."""
MOST_GATEWAYS = 4
"""Of one interface."""
MOST_PATH_PEERS = 16
MOST_PATH_COMMUNITIES = 32
MOST_WITHDRAWN = 16
"""Of one session."""

PathName = Annotated[str, Text(min_length=1, max_length=16)]
NetworkText = Annotated[str, Text(max_length=ADDRESS_LENGTH + 4)]


class AnnounceProtocol(StrEnum):
    """How an address is announced."""

    Layer2 = "Layer2"
    BGP = "BGP"


class Answerer(StrEnum):
    """What answers ARP and NDP for the addresses that are announced on an interface."""

    Kernel = "Kernel"
    UserSpace = "UserSpace"


class SpeakerSpec(Model):
    """Empty: a Speaker has nothing to configure."""


class FencingPromise(Model):
    """Whether the speaker withdraws by itself when it is cut off, and after how long."""

    promised: bool
    """Whether the promise is in force."""
    fence_after_seconds: Annotated[int, Field(ge=1), Format("int32")]
    """After how many seconds without a renewed Lease nothing of this speaker is on the wire any more."""
    witnesses: Annotated[tuple[ObjectName, ...], Items(maximum=31), ListSet()] = ()
    """The nodes whose speakers the promise rests on, this one included: it holds unless a strict majority of these, as
    this speaker hears, has lost the API server when it did."""


class Interface(Model):
    """A network interface of the node, as the speaker sees it."""

    name: InterfaceName
    """The interface's name."""
    mac: Annotated[str, Text(max_length=17)] = ""
    """Its hardware address, which ARP replies name."""
    up: bool = False
    """Whether it is up and has a carrier."""
    usable: bool = False
    """Whether addresses can be announced on it."""
    reason: Message = ""
    """Why it is not usable; or IPv6Off, when it is, and IPv6 is switched off on it."""
    networks: Annotated[tuple[NetworkText, ...], Items(maximum=MOST_NETWORKS), ListSet()] = ()
    """The networks that it is on, such as 192.0.2.11/24: an address in each, mostly its own, and the prefix length. Of
    usable interfaces only; without link-local networks, and without addresses of a host alone (/32, /128)."""
    gateways: Annotated[tuple[AddressText, ...], Items(maximum=MOST_GATEWAYS), ListSet()] = ()
    """The default gateways by this interface; of usable interfaces only."""
    ipv6: bool | None = None
    """Whether IPv6 is switched on on it. Of usable interfaces only; not set where the speaker does not tell it."""
    answers: Answerer | None = None
    """What answers ARP and NDP there: the node's kernel, by a program of the speaker's, or the speaker's wire process.
    Of interfaces that are in use only."""
    answers_reason: Message = ""
    """Why it is not the kernel: Off, or what refused it. In the SpeakerReport only."""


class Announcement(Model):
    """How the speaker announces one address."""

    protocols: Annotated[tuple[AnnounceProtocol, ...], Items(minimum=1, maximum=2), ListSet()]
    """BGP, Layer2, or both."""
    interfaces: Annotated[tuple[InterfaceName, ...], Items(maximum=64), ListSet()] = ()
    """On layer 2: the interfaces on which it answers."""
    peers: Annotated[tuple[ObjectName, ...], Items(maximum=64), ListSet()] = ()
    """By BGP: the BGPPeers that a route to it was sent to; of more than 4 the first ones by name."""
    peer_count: Annotated[int, Field(ge=0), Format("int32")] | None = None
    """How many they are, where they are not all named."""
    paths: Annotated[tuple[PathName, ...], Items(maximum=4), ListSet()] = ()
    """By BGP: with which path attributes; their names in status.bgpPaths, of any slice of this node."""
    since: Time | None = None
    """Since when."""


class BGPPath(Model):
    """Path attributes (RFC 4271 §5) with which routes were sent. The addresses name it (status.announcements)."""

    name: PathName
    """Follows from what it says."""
    peers: Annotated[tuple[ObjectName, ...], Items(maximum=MOST_PATH_PEERS), ListSet()] = ()
    """The BGPPeers that such routes were sent to; of more than 16 the first ones by name."""
    peer_count: Annotated[int, Field(ge=0), Format("int32")] | None = None
    """How many they are, where they are not all named."""
    prefix_length: Annotated[int, Field(ge=0, le=128), Format("int32")] | None = None
    """Of an aggregate that covers the address. Not set: the routes are of single addresses."""
    next_hop: AddressText | None = None
    """The next hop. Not set: the node's own address of each session (status.bgpSessions, localAddress)."""
    local_pref: Annotated[int, Field(ge=0, le=2**32 - 1), Format("int64")] | None = None
    """LOCAL_PREF. Not set: none was sent, as to external peers."""
    med: Annotated[int, Field(ge=0, le=2**32 - 1), Format("int64")] | None = None
    """MULTI_EXIT_DISC. Not set: none was sent."""
    as_path_prepend: Annotated[int, Field(ge=0), Format("int32")] | None = None
    """How many times more the own AS number is in the AS_PATH. Not set: it is there once, or to internal peers not at
    all."""
    communities: Annotated[tuple[Annotated[str, Text(max_length=64)], ...], Items(maximum=MOST_PATH_COMMUNITIES)] = ()
    """Communities, as 64512:100, and large ones, as large:64512:1:2; the first 32."""
    link_bandwidth: Annotated[int, Field(ge=0), Format("int64")] | None = None
    """The link bandwidth community, in bytes per second."""


class AddressConflict(Model):
    """Another machine on the segment that uses an address of ours."""

    address: AddressText
    """The address."""
    mac: Annotated[str, Text(max_length=17)]
    """The other machine's hardware address. Of several machines, the one seen last."""
    interface: InterfaceName
    """The node's interface on which it was seen."""
    node: NodeName | None = None
    """The node of this cluster whose kernel has the address. Not set: it is a machine without a speaker."""
    announced: bool = True
    """Whether this node announces the address all the same. False: it was found in use before its first announcement,
    and is not announced until the other machine is gone."""
    first_seen: Time | None = None
    """When it was seen first."""
    last_seen: Time | None = None
    """When it was seen last, at the time of writing: written every 30 s."""
    count: Annotated[int, Field(ge=0), Format("int64")] = 0
    """How often it was seen, at most once a second counted."""


class KernelAnswer(Model):
    """An address that is announced on layer 2, and that the node's kernel answers for by itself."""

    address: AddressText
    """The address."""
    held_on: InterfaceName
    """The interface that the kernel has it on."""
    answers_on: InterfaceName
    """An interface where the kernel answers for it: the first one by name."""


class Unannounced(Model):
    """An address that no node announces, and why. Of the speakers that live one tells it."""

    address: AddressText
    """The address."""
    reason: Annotated[str, Text(min_length=1, max_length=64)]
    """One CamelCase word; all of them are explained in docs/conditions.md."""
    message: Message
    """Why no node does: by node, where it differs."""


class HeardSpeaker(Model):
    """Another speaker, as heard by heartbeats on the network."""

    node: NodeName
    """Its node."""
    since: Time | None = None
    """Since when it has been heard without a gap."""
    cut_off: bool = False
    """Whether it says that it has lost the API server while others have not."""


class Standing(StrEnum):
    """How a speaker takes part in sharing out addresses on layer 2."""

    Member = "Member"
    """Addresses are shared out among these."""
    Waiting = "Waiting"
    """It came back lately: others keep what they serve until the next fault, or until it has run for a while."""
    Behind = "Behind"
    """It has lost the API server while others have not: they take over what it owns."""
    Leaving = "Leaving"
    """It is stopping: others take over what it owns, and it answers until they do."""


class BGPSessionState(StrEnum):
    """State of a BGP session (RFC 4271 §8.2.2)."""

    Idle = "Idle"
    Connect = "Connect"
    Active = "Active"
    OpenSent = "OpenSent"
    OpenConfirm = "OpenConfirm"
    Established = "Established"


class Acknowledger(StrEnum):
    """What of a router says that it has a withdrawal."""

    Process = "Process"
    TCP = "TCP"


class BGPSession(Model):
    """One BGP session of the speaker."""

    peer: ObjectName
    """The BGPPeer's name."""
    address: AddressText | None = None
    """The peer's address, where it is known."""
    local_address: AddressText | None = None
    """The node's own address in it. Not set while there is no session."""
    state: BGPSessionState
    """Its state: Idle, Connect, Active, OpenSent, OpenConfirm or Established."""
    since: Time | None = None
    """Since when it has been in this state."""
    routes_sent: Annotated[int, Field(ge=0), Format("int32")] = 0
    """How many routes are advertised on it."""
    hold_time_seconds: Seconds | None = None
    """The hold time that both sides agreed on, in seconds."""
    withdrawals_acknowledged_by: Acknowledger | None = None
    """What of the router says that it has a withdrawal: its BGP Process (it answers ROUTE-REFRESH), or only its TCP,
    which goes on when that process hangs. Not set while there is no session."""
    withdrawn: Annotated[tuple[NetworkText, ...], Items(maximum=MOST_WITHDRAWN), ListSet()] = ()
    """Routes whose withdrawal was sent more than 2 s ago, and that the router has not acknowledged; the first 16."""
    routes_kept_until: Time | None = None
    """Until when the router may keep routes of sessions that have ended without its word, or one whose withdrawal it
    does not acknowledge. Not set: it keeps none, or they never expire (hold time 0)."""
    last_error: Message = ""
    """Why it went down last."""


class BFDSessionState(StrEnum):
    """State of a BFD session (RFC 5880 §4.1)."""

    AdminDown = "AdminDown"
    Down = "Down"
    Init = "Init"
    Up = "Up"


class BFDSession(Model):
    """One BFD session of the speaker."""

    peer: ObjectName
    """The BGPPeer's name."""
    state: BFDSessionState
    """Its state: AdminDown, Down, Init or Up."""
    since: Time | None = None
    """Since when it has been in this state."""
    detect_time_milliseconds: Annotated[int, Field(ge=0), Format("int32")] | None = None
    """After how many milliseconds of silence the path is down."""
    diagnostic: Message = ""
    """Why it went down last."""


class Fault(Model):
    """What the speaker finds wrong with another object of the API."""

    object: Annotated[str, Text(min_length=1, max_length=317)]
    """Its kind and name, such as BGPPeer/tor1."""
    reason: Annotated[str, Text(min_length=1, max_length=64)]
    """One CamelCase word; all of them are explained in docs/conditions.md."""
    message: Message
    """What is wrong, and what to do."""


class RememberedRouter(Model):
    """A router that may have routes of this node's speaker, and for how long it may keep them without it."""

    address: Annotated[str, Text(min_length=1, max_length=64)]
    """Its address; a link-local one with the interface, as fe80::1%eth0, one in a VRF with that, as 192.0.2.1%red."""
    outlives_seconds: Seconds
    """For how long it may keep them after the speaker's end: its hold or restart time (RFC 4271, RFC 4724)."""


class SpeakerElsewhere(Model):
    """A speaker of this node's name on another machine, which may still announce."""

    machine: Annotated[str, Text(max_length=64)]
    """Its machine."""
    fencing: FencingPromise
    """Whether it withdraws by itself when it is cut off."""
    outlives_seconds: Seconds = 0
    """For how long routers may keep its routes after its end."""


class SpeakerStatus(ConditionedStatus):
    """Who the speaker is, and what others must know of it."""

    incarnation: Annotated[str, Text(max_length=64)] = ""
    """Another text at each start of the speaker's process; the holder of its Lease."""
    machine: Annotated[str, Text(max_length=64)] = ""
    """The machine that this process runs on: the boot id of its kernel, and a digest of what its kubelet says of it."""
    elsewhere: Annotated[tuple[SpeakerElsewhere, ...], Items(maximum=MOST_ELSEWHERE), ListMap("machine")] = ()
    """Speakers of this node's name on other machines that may still announce. Until they are surely silent, this one
    confirms no release. The annotation berth.dev/dead-machines is the word that they are off."""
    goodbye: bool = False
    """Whether the speaker stopped cleanly, after it had withdrawn everything."""
    fencing: FencingPromise | None = None
    """Whether it withdraws by itself when it is cut off."""
    standing: Standing = Standing.Member
    """How it takes part in sharing out addresses on layer 2."""
    routers: Annotated[tuple[RememberedRouter, ...], Items(maximum=MOST_ROUTERS), ListMap("address")] = ()
    """The routers that may have its routes: of sessions that it has, ends, has ended, or found when it started."""
    ignores_exclude_label: bool = False
    """Whether it announces also where its Node has the label
    node.kubernetes.io/exclude-from-external-load-balancers."""
    drains_when_cordoned: bool = False
    """Whether it treats its Node as drained while that is cordoned (spec.unschedulable)."""
    interfaces: Annotated[tuple[Interface, ...], Items(maximum=MOST_INTERFACES), ListMap("name")] = ()
    """The node's network interfaces, those that addresses can be announced on first. The report has more of them."""


class Speaker(BerthObject):
    """The speaker of one node. Written by that speaker. To declare a node dead for good, delete it."""

    KIND: ClassVar[CustomKind] = CustomKind(
        kind="Speaker",
        plural="speakers",
        short_names=("spk",),
        columns=(
            ready_column(),
            Column("State", '.status.conditions[?(@.type=="Ready")].reason', description="Starting, Serving, Stopped."),
            Column("Standing", ".status.standing", description="Member, Waiting, Behind or Leaving."),
            Column("Fencing", ".status.fencing.promised", "boolean", "Whether it withdraws by itself when cut off."),
            Column("Goodbye", ".status.goodbye", "boolean", "Whether it stopped cleanly.", priority=1),
            Column("Incarnation", ".status.incarnation", description="Changes at each start.", priority=1),
            AGE,
        ),
    )

    kind: str = "Speaker"
    spec: SpeakerSpec = SpeakerSpec()
    """Empty: a Speaker has nothing to configure."""
    status: SpeakerStatus = SpeakerStatus()
    """Who the speaker is; written by the speaker."""


def word_on_routers(annotations: Mapping[str, str] | None) -> tuple[str, frozenset[str]]:
    """An operator's word in a Speaker's annotations (ANNOTATION_DROPPED_ROUTERS): of which process, and which routers
    have dropped its routes. Of no process ("") where none is named; of MOST_ROUTERS routers at most.
    """
    process, _, addresses = (annotations or {}).get(ANNOTATION_DROPPED_ROUTERS, "").rpartition("/")
    return process.strip(), addresses_in(addresses, MOST_ROUTERS)


def boot_id_of(machine: str) -> str:
    """By which an operator names a machine (`status.machine`); "" where it has none."""
    return machine.partition(" ")[0]


def word_on_machines(annotations: Mapping[str, str] | None) -> frozenset[str]:
    """An operator's word in a Speaker's annotations (ANNOTATION_DEAD_MACHINES): the boot ids of machines that are off.

    What comes after MOST_ELSEWHERE parts is left out.
    """
    parts = (annotations or {}).get(ANNOTATION_DEAD_MACHINES, "").split(",", MOST_ELSEWHERE)[:MOST_ELSEWHERE]
    return frozenset(one.strip() for one in parts) - {""}
