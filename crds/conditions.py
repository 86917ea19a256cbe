"""Every condition type and every reason that Berth writes, with its meaning: the source of docs/conditions.md.

Events carry the same reasons. Nothing here decides when a condition holds.
"""

from enum import StrEnum
from typing import Self

from crds.names import HEARTBEAT_PORT


class _Documented(StrEnum):
    """A string with the sentence that explains it to an operator."""

    doc: str

    def __new__(cls, value: str, doc: str = "") -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.doc = doc
        return member


class ConditionType(_Documented):
    """What a condition speaks of. On objects that are not ours the type carries our group."""

    Allocated = (
        "berth.dev/Allocated",
        "On a Service: it holds every address it asked for. False or Unknown says why not, and what to do.",
    )
    Announceable = (
        "Announceable",
        "In slice 0 of a SpeakerReport: every address has a node that may announce it, as this speaker sees it. False"
        " names the addresses and advertisements that something is wrong with.",
    )
    Announced = (
        "Announced",
        "On an IPAllocation: at least one speaker answers for the address, or advertises a route to it.",
    )
    AnnouncedOnService = (
        "berth.dev/Announced",
        "On a Service: each of its addresses is announced, and by which nodes and how. False says why not, the true "
        "cause first, and what to do; it is said after some seconds only, so that a move says nothing. It is not there "
        "while the Service holds no address.",
    )
    Conflicted = (
        "Conflicted",
        "On an IPAllocation: another machine on the segment uses the same address. On an IPPool: Services hold "
        "addresses of it that are a node's, the API server's, a gateway or the end of a network as well.",
    )
    Degraded = (
        "Degraded",
        "On an IPPool, an advertisement or a BGPPeer: something of it does not work, which the message names, and the "
        "rest does. It is there while that is so, and False once it was.",
    )
    EndpointsPlaced = (
        "EndpointsPlaced",
        "In slice 0 of a SpeakerReport: all endpoints of Services with externalTrafficPolicy Local say which node "
        "they are on. Those that do not count for every node.",
    )
    Exhausted = (
        "Exhausted",
        "On an IPPool: no address is free in some family of the pool.",
    )
    KernelAnswers = (
        "KernelAnswers",
        "In slice 0 of a SpeakerReport, and on an IPAllocation: the kernel of a node answers by itself for an address "
        "that is announced on layer 2, whichever node is its owner. The message says where it has the address, and "
        "which setting to change.",
    )
    OnNetwork = (
        "OnNetwork",
        "On an IPAllocation that is announced on layer 2: the node that announces it is on a network that contains it, "
        "as its Speaker tells. False says which nodes are, if any; True is said only of one that was not before.",
    )
    Overlapping = (
        "Overlapping",
        "On an IPPool: it shares addresses with another pool, which the message names.",
    )
    PeersHeard = (
        "PeersHeard",
        "In slice 0 of a SpeakerReport: the heartbeats of the other speakers arrive. False says what keeps them away;"
        " then another node's death is noticed by its Lease only.",
    )
    PromisesFencing = (
        "PromisesFencing",
        "On a Speaker: cut off from the API server and from its peers, it withdraws everything by itself within the "
        "fence time, so nobody has to wait for it longer. False: releases wait until it is back.",
    )
    Ready = (
        "Ready",
        "The object works. False: it does nothing, and the message says why; everything else goes on. "
        "Unknown, of a Speaker: nothing is heard of it.",
    )
    Recorded = (
        "Recorded",
        "In slice 0 of a SpeakerReport: the API server takes everything that the speaker writes of itself. False "
        "names what it refuses; that is left out, and all else is written.",
    )
    Withdrawn = (
        "Withdrawn",
        "On an IPAllocation whose release takes long: False, and the message names the nodes that have not confirmed "
        "yet that they no longer announce it. It is never True: when the last one has confirmed, the record goes.",
    )


class Reason(_Documented):
    """Why a condition has its status: one CamelCase word, the same in Events."""

    AddressChanged = (
        "AddressChanged",
        "Only as an Event: the Service has another address than before, which the message names too.",
    )
    AddressConflict = (
        "AddressConflict",
        "Another machine uses the address that a node announces. Clients reach the one or the other. Find it by the "
        "hardware address in the message and give it another address, or take the address out of the pool with "
        "`exclude` and create the Service again.",
    )
    AddressExcluded = (
        "AddressExcluded",
        "The requested address is in a pool but not to be given out: it is in `exclude`, or ends in .0 or .255 and "
        "the pool avoids these, or is kept out by itself (`status.keptOut` of the pool): a node's, the API server's, "
        "for cluster IPs, a gateway, the end of a network. Ask for another address, or change the pool.",
    )
    AddressInUse = (
        "AddressInUse",
        "Another Service, named in the message, holds the requested address. Ask for another one, or let both share "
        "it with a sharing key.",
    )
    AddressNotInPool = (
        "AddressNotInPool",
        "The requested address is in no pool that this Service may use. Ask for one of these, or extend a pool.",
    )
    AddressTaken = (
        "AddressTaken",
        "An address that a Service holds is a node's, the API server's, for cluster IPs, a default gateway or the end "
        "of a node's network as well; the message says whose. It stays with the Service, so that nothing is cut off, "
        "and no other Service gets it. Give the Service another address (`berth.dev/ips`, or delete and create it), or "
        "the node.",
    )
    AllAnnounceable = (
        "AllAnnounceable",
        "Every address has a node that may announce it.",
    )
    AllRecorded = (
        "AllRecorded",
        "The API server takes everything that the speaker writes.",
    )
    Allocated = (
        "Allocated",
        "The Service has all addresses it asked for.",
    )
    AllocationLost = (
        "AllocationLost",
        "The record of the address (IPAllocation) vanished or was edited by hand. It is written again where the "
        "address is still free for this Service.",
    )
    Announced = (
        "Announced",
        "Only as an Event: the addresses of the Service are announced again, or at last, after an Event NotAnnounced.",
    )
    Announcing = (
        "Announcing",
        "Nodes announce the address: `announcerCount` of them, up to ten are named in `announcedBy`.",
    )
    ClassChanged = (
        "ClassChanged",
        "A Service loses its addresses because Berth serves another loadBalancerClass since an upgrade. A class can't "
        "be set on a Service that is there: give the chart's `loadBalancerClass` its former value, or create the "
        "Service anew with the class that is served.",
    )
    DuplicateAddress = (
        "DuplicateAddress",
        "Another machine, or the kernel of a node, answered for the address when it was probed before its first "
        "announcement, so it is not announced. Give that machine another address: the probing is repeated, and the "
        "address announced once nobody answers. Or take the address out of the pool with `exclude` and create the "
        "Service again.",
    )
    DuplicatePeer = (
        "DuplicatePeer",
        "Another BGPPeer, named in the message, has the same address and port, and some node has a session for each: "
        "they disturb each other, since a router keeps one. Delete one, or give them nodeSelectors that exclude each "
        "other.",
    )
    EmptyPool = (
        "EmptyPool",
        "The pool holds no address at all: what `addresses` lists is taken away again by `exclude` or avoidBuggyIPs, "
        "or kept out by itself (`status.keptOut`).",
    )
    EndpointsNameNodes = (
        "EndpointsNameNodes",
        "Every endpoint that decides where an address is announced says which node it is on.",
    )
    EndpointsWithoutNode = (
        "EndpointsWithoutNode",
        "Some endpoints of a Service with externalTrafficPolicy Local carry no nodeName, as some Gateway "
        "implementations make them. They count for every node, so traffic may take one more hop; nothing is cut off.",
    )
    ExternalIPRefused = (
        "ExternalIPRefused",
        "In Events alone: an address in `spec.externalIPs` of the Service is in a pool that announces such addresses, "
        "and is not announced for this Service. The message says why: the pool is not for it, another Service has the "
        "address, or it does not go together with the others that name it.",
    )
    FamilyNotAgreed = (
        "FamilyNotAgreed",
        "The BGP session is up, and the router did not agree to a family of the BGPPeer, which the message names: it "
        "gets no routes of it. Activate the family at the router, or leave it out of `families`.",
    )
    FamilyUnavailable = (
        "FamilyUnavailable",
        "No pool that the Service may use has addresses of a family that it requires. Add a pool of that family, or "
        "change the Service's ipFamilies.",
    )
    FinalizerRemoved = (
        "FinalizerRemoved",
        "Somebody took our finalizer off a Service whose address was not free yet. The address stays reserved until "
        "all speakers have withdrawn it. If a cloud controller manager does this, give the finalizer another name "
        "(`finalizer` in the chart's values).",
    )
    HearingPeers = (
        "HearingPeers",
        "Heartbeats of at least half of the other speakers arrive.",
    )
    HeldByNode = (
        "HeldByNode",
        "The kernel of a node has an address of a Service on one of its interfaces, and answers for it whichever node "
        "is the owner. kube-proxy in IPVS mode does that on every node: set `ipvs.strictARP` to true in its "
        "configuration. Else set net.ipv4.conf.all.arp_ignore to 1 on the node, or take the address off it.",
    )
    InterfaceNotFound = (
        "InterfaceNotFound",
        "No node that the advertisement selects has a usable interface of a name that it gives; the message says which "
        "name, and which interfaces they have.",
    )
    InvalidAddresses = (
        "InvalidAddresses",
        "An entry of `addresses` or `exclude` can't be read, or contains what no Service can have (multicast, "
        "loopback, link-local and the like); the message names it. The pool's other addresses work; but while an "
        "entry of `exclude` can't be read, no new address is given out.",
    )
    InvalidRequest = (
        "InvalidRequest",
        "An annotation or spec.loadBalancerIP of the Service can't be read or contradicts another; the message says "
        "which, and what to write.",
    )
    InvalidSpec = (
        "InvalidSpec",
        "A field of the object can't be used as it is written; the message names it.",
    )
    KernelSilent = (
        "KernelSilent",
        "No kernel of a node answers by itself for the address, or for any that is announced on layer 2.",
    )
    KeysUnusable = (
        "KeysUnusable",
        "The Secret with the heartbeats' keys has no usable `key`: the message names the file and what is wrong. Keys "
        "that were read before stay in use; a speaker that has read none goes on by Leases alone.",
    )
    Moved = (
        "Moved",
        "Only as an Event: another node owns the address on layer 2 for some seconds now. Where many move at once, the "
        "first ones are told on their Services, and the rest on the Speaker of the node that they left.",
    )
    NoAddressesLeft = (
        "NoAddressesLeft",
        "All addresses of a family are in use. Extend the pool, or delete Services that are not needed.",
    )
    NoAdvertisement = (
        "NoAdvertisement",
        "No L2Advertisement and no BGPAdvertisement covers the address's pool and Service, so nobody announces it. "
        "Create one. When the pool is gone, so are its labels: name it in `ipPools`, or create it again.",
    )
    NoBFD = (
        "NoBFD",
        "The BGPPeer names a BFDProfile, its BGP session is up, and BFD has not come up on some node: does the router "
        "speak BFD? Routes go, and only the hold time notices a lost path.",
    )
    NoBlackhole = (
        "NoBlackhole",
        "A node advertises an aggregate and can't drop packets to addresses in it that nothing uses; they may go round "
        "between router and node until their TTL ends. The message says why. What is in use is served.",
    )
    NoConflict = (
        "NoConflict",
        "The other machine that used the address has not been seen for a minute; or no address of the pool that is in "
        "use is anybody else's any more.",
    )
    NoEligibleNode = (
        "NoEligibleNode",
        "An advertisement covers the address, but no node may announce it: look at the node selector, the interfaces, "
        "the label node.kubernetes.io/exclude-from-external-load-balancers, and, with externalTrafficPolicy Local, "
        "at where the ready endpoints are.",
    )
    NoMatchingPool = (
        "NoMatchingPool",
        "There are pools, but none may serve this Service: look at autoAssign, namespaces, the selectors and paused.",
    )
    NoNextHop = (
        "NoNextHop",
        "The BGPPeer exchanges routes of a family that is not its session's, and the node has no InternalIP of that "
        "family to name as next hop. IPv4 routes may name an IPv6 next hop instead, over IPv6, where the router agrees "
        "(RFC 8950). Routes of the other family go.",
    )
    NoNodeOnNetwork = (
        "NoNodeOnNetwork",
        "No node has an interface in a network that contains the address. Where a router on the segment has such a "
        "network, all is well; else nobody asks for the address there: look at the pool, or announce it by BGP.",
    )
    NoNodeSelected = (
        "NoNodeSelected",
        "No Node has the labels that the advertisement's nodeSelector asks for, so nothing is announced by it. Change "
        "the selector, or label a Node.",
    )
    NoNodeValue = (
        "NoNodeValue",
        "A rule of the BGPPeer (peerAddressFrom, sourceAddressFrom, myASNFrom) gives nothing that can be used for the "
        "node, which has no session. The message names the node, the rule and what stands there.",
    )
    NoPools = (
        "NoPools",
        "There is no IPPool in the cluster. Create one.",
    )
    NoReadyEndpoint = (
        "NoReadyEndpoint",
        "No node may announce the address, since no endpoint can take its traffic: with externalTrafficPolicy Local a "
        "node announces it only while it has a ready endpoint, and by BGP none does while there is no ready endpoint "
        "at all (but see advertiseWithoutEndpoints). Look at the Pods that the Service's selector chooses.",
    )
    NoRouter = (
        "NoRouter",
        "The BGPPeer names an interface and no address, and the node has heard no router there, or can't listen there. "
        "The message says which.",
    )
    NoSessions = (
        "NoSessions",
        "No speaker has a session with the peer, or wants one: look at nodeSelector, and at whether speakers run.",
    )
    NoSpeaker = (
        "NoSpeaker",
        "No speaker runs, so nothing is announced: look at the pods of the DaemonSet berth-speaker, and whether it may "
        "run on your nodes (`speaker.tolerations` and `speaker.nodeSelector` of the chart).",
    )
    NodeSilent = (
        "NodeSilent",
        "Nothing is heard of the speaker any more: it has not renewed its Lease for 30 s. Its pod does not run, its "
        "machine is off, or it can't reach the API server. Addresses that it announced on layer 2 are others' by then. "
        "The allocator says so, and the speaker itself when it is back.",
    )
    NotAnnounced = (
        "NotAnnounced",
        "Only as an Event: for some seconds an address of the Service has not been announced. The message has the "
        "cause, as the condition `berth.dev/Announced` has it.",
    )
    NotExhausted = (
        "NotExhausted",
        "Each family of the pool has free addresses.",
    )
    NotOverlapping = (
        "NotOverlapping",
        "The pool shares no address with another one.",
    )
    NotUsed = (
        "NotUsed",
        "No BGPPeer uses the BFDProfile, or no BGPAdvertisement any name of the Community. That is no fault.",
    )
    OnlySpeaker = (
        "OnlySpeaker",
        "There are fewer than three speakers, so no majority could tell that this one is cut off: no promise is made.",
    )
    OtherMachine = (
        "OtherMachine",
        "Another machine ran the speaker of this node before, and did not say goodbye: it may be cut off and announce "
        "all the same. Until it is surely silent, this speaker confirms no release and makes no promise. Only if that "
        "other machine is surely off, say so by its boot id, which is in the message: "
        "`kubectl annotate --overwrite speaker.berth.dev NODE berth.dev/dead-machines=BOOT_ID`. "
        "Routers then get the time that they may keep its routes for.",
    )
    OutsidePool = (
        "OutsidePool",
        "The address is no longer within its pool, because the pool was changed or deleted. It keeps serving; but when "
        "the pool is gone, an advertisement that chooses pools by their labels (ipPoolSelector) covers it no longer. "
        "To move the Service to another address, delete and create it, or request the new address with berth.dev/ips.",
    )
    OwnerOffNetwork = (
        "OwnerOffNetwork",
        "The node that announces the address is on no network that contains it, and other nodes are. With "
        "externalTrafficPolicy Local these have no ready endpoint; else the advertisement leaves them out, or they do "
        "not serve.",
    )
    OwnerOnNetwork = (
        "OwnerOnNetwork",
        "The node that announces the address is on a network that contains it, as it should be.",
    )
    PartiallyAllocated = (
        "PartiallyAllocated",
        "A Service that prefers two families has an address of one, or one that names several addresses has some of "
        "them; the message says why the others are missing.",
    )
    PartsRefused = (
        "PartsRefused",
        "The API server refuses a part of what the speaker writes of itself: the message says which, and why. It is "
        "left out and tried again every ten minutes; all else is written, and no release waits for it. Most often the "
        "definitions in the cluster are older than the speaker: apply those of its version.",
    )
    PasswordUnavailable = (
        "PasswordUnavailable",
        "The password of a BGPPeer can't be read: the Secret does not exist in Berth's namespace, has no such key, "
        "what is there is no text, or speakers may not read it (`speaker.bgp.passwordSecrets` of the chart). Nodes "
        "that have read it before go on with what they read last; others, and speakers that start, hold no session "
        "with the peer until it can.",
    )
    PeersUnheard = (
        "PeersUnheard",
        "The speaker hears too few of the other speakers, so it can't tell its own isolation from an outage of the API "
        "server and makes no promise. Let the heartbeats between the nodes through: UDP, "
        f"port {HEARTBEAT_PORT} by default.",
    )
    PingUnanswered = (
        "PingUnanswered",
        "`answerPing` of the L2Advertisement has no effect on the nodes that the message names, and the message says "
        "why: the speaker may lack the capability NET_ADMIN. The addresses are announced all the same.",
    )
    PoolExhausted = (
        "PoolExhausted",
        "Every pool that may serve the Service is full. It gets an address as soon as one is free.",
    )
    PoolNotFound = (
        "PoolNotFound",
        "The requested pool does not exist.",
    )
    PoolPaused = (
        "PoolPaused",
        "The requested pool gives out no new addresses while `paused` is true.",
    )
    PoolsOverlap = (
        "PoolsOverlap",
        "The pool shares addresses with another one. The shared addresses belong to the pool that is older.",
    )
    PortTaken = (
        "PortTaken",
        "Another program on the node has the UDP port of the heartbeats, so the speaker hears nobody and nobody hears "
        "it. End that program, or set another port for all speakers (`speaker.heartbeat.port` in the chart). The "
        "speaker tries again by itself.",
    )
    PromiseInForce = (
        "PromiseInForce",
        "The speaker withdraws everything by itself when it is cut off for longer than the fence time.",
    )
    QuotaExceeded = (
        "QuotaExceeded",
        "The namespace has as many addresses of the pool as `maxPerNamespace` grants.",
    )
    RecordRefused = (
        "RecordRefused",
        "The API server refuses the record of an address (IPAllocation) as it would be with this Service; the message "
        "has its words. The Service keeps what it has, others that share the address go on, and it is tried again each "
        "minute. An admission policy can be the cause, or definitions (CRDs) of another release of Berth.",
    )
    Releasing = (
        "Releasing",
        "The address is being given back; speakers withdraw it.",
    )
    Serving = (
        "Serving",
        "The speaker has registered, has read all objects, and announces what it is responsible for.",
    )
    SessionsDown = (
        "SessionsDown",
        "No session with the peer is up. The message names nodes, and why their sessions went down last.",
    )
    SessionsUp = (
        "SessionsUp",
        "All sessions with the peer are up.",
    )
    SeveralRouters = (
        "SeveralRouters",
        "The BGPPeer names an interface and no address, and the node hears several routers there. The session is with "
        "the one that was heard first; give the address of the one that you mean, beside the interface.",
    )
    SharingConflict = (
        "SharingConflict",
        "The address can't be shared with its present holders: the ports collide, the keys or namespaces differ, or "
        "the traffic policies do not go together. The message says which. A Service that has the address keeps it, as "
        "it is recorded, until it fits again or asks for another one.",
    )
    SomeSessionsDown = (
        "SomeSessionsDown",
        "Some nodes have a session with the peer, and others should have one. The message names these, and why theirs "
        "went down last.",
    )
    Starting = (
        "Starting",
        "The speaker has registered and is reading the objects; it announces nothing yet.",
    )
    StatusOverwritten = (
        "StatusOverwritten",
        "Another program writes the status of the Service, too, and undoes what Berth writes; the message names it as "
        "`metadata.managedFields` do. The address stays announced, but what the status shows changes back and forth: "
        "Berth restores it every 30 seconds. Stop that program, or create the Service anew with a loadBalancerClass "
        "that only one of the two serves.",
    )
    Stopped = (
        "Stopped",
        "The speaker stopped cleanly after it had withdrawn everything.",
    )
    TooLarge = (
        "TooLarge",
        "The Service has more ports, labels or entries of its selector than the record of an address (IPAllocation) "
        "holds; the message says which, and how many it holds. The Service keeps what it has.",
    )
    TooManyRouters = (
        "TooManyRouters",
        "A node remembers the routers that may have routes of it, 256 at most. This BGPPeer would be one more, so the "
        "node has no session with it. Have fewer peers for the node, or wait until former routers have dropped routes.",
    )
    UnknownAnnotation = (
        "UnknownAnnotation",
        "Only as an Event: the Service has an annotation with the prefix `berth.dev/`, `metallb.io/` or "
        "`metallb.universe.tf/` that means nothing to Berth. Its condition names it as long as it is there, and the "
        "annotation that is meant, most likely.",
    )
    UnknownCommunity = (
        "UnknownCommunity",
        "The advertisement names a community that no Community object defines. Its routes go without it.",
    )
    UnknownPeer = (
        "UnknownPeer",
        "The advertisement names a BGPPeer that does not exist. Its other peers get the routes.",
    )
    UnknownPool = (
        "UnknownPool",
        "The advertisement names a pool that does not exist. Its other pools are announced.",
    )
    UnknownProfile = (
        "UnknownProfile",
        "The BGPPeer names a BFDProfile that does not exist. The BGP session runs, and no BFD watches it.",
    )
    Valid = (
        "Valid",
        "The object is well-formed and in use.",
    )
    WaitingForSpeakers = (
        "WaitingForSpeakers",
        "An address can't be given back yet: the nodes in the message have not confirmed that they withdrew it. Of a "
        "node that is alive, look at the speaker. Of one that has been silent for the fence time the message has the "
        "command that says that its machine is off: give it only if that is sure. Routers may keep its routes after "
        "that: if they surely have none any more, the message has the command that says so.",
    )
