"""Every name that Berth shares with its users and among its parts: group, finalizer, annotations, labels, leases.

No behaviour, except that names of IPAllocations follow from addresses, and names and labels of Leases from nodes.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

GROUP = "berth.dev"
VERSION = "v1beta1"
API_VERSION = f"{GROUP}/{VERSION}"

CATEGORY = "berth"
"""`kubectl get berth` lists all kinds."""

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
"""The finalizer that Kubernetes documents for load balancers. A cloud controller manager strips it from every deleted
Service, whatever its class, so the allocator takes another name by a flag."""

FINALIZER_BESIDE_CLOUD = f"{GROUP}/load-balancer-cleanup"
"""The name that the documentation advises for that case."""

DEFAULT_NAMESPACE = "berth-system"

ANNOTATION_IPS = f"{GROUP}/ips"
"""Requested addresses, comma-separated: one, or one per family."""
ANNOTATION_POOL = f"{GROUP}/pool"
"""The pool to take an address from."""
ANNOTATION_SHARING_KEY = f"{GROUP}/sharing-key"
"""Services with the same key may share an address."""
ANNOTATION_NODE = f"{GROUP}/node"
"""The node that is to own the Service's addresses on layer 2, where it can."""

METALLB_PREFIXES = ("metallb.io", "metallb.universe.tf")
"""Of MetalLB's annotations: the present one, and the former one, which it reads still."""

ANNOTATION_IPS_ALIASES = ("metallb.io/loadBalancerIPs", "metallb.universe.tf/loadBalancerIPs")
ANNOTATION_POOL_ALIASES = ("metallb.io/address-pool", "metallb.universe.tf/address-pool")
ANNOTATION_SHARING_KEY_ALIASES = ("metallb.io/allow-shared-ip", "metallb.universe.tf/allow-shared-ip")

ANNOTATIONS_OF_OTHERS = frozenset({"metallb.io/ip-allocated-from-pool", "metallb.universe.tf/ip-allocated-from-pool"})
"""What MetalLB writes on Services that it serves: no wish, and left behind when they move over."""

ANNOTATION_DROPPED_ROUTERS = f"{GROUP}/dropped-routers"
"""On a Speaker: an operator's word that these routers keep no route of its former sessions: PROCESS/ADDRESS,ADDRESS.
PROCESS: the incarnation that the Speaker names, so that the word says nothing of a later one."""

ANNOTATION_DEAD_MACHINES = f"{GROUP}/dead-machines"
"""On a Speaker: an operator's word that these other machines, which ran the speaker of this node before, are off: their
boot ids, separated by commas. A machine that starts again has another one, so the word stays true."""

LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_NODE = f"{GROUP}/node"
COMPONENT_SPEAKER = "speaker"
COMPONENT_HEARTBEAT = "heartbeat"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"

LABEL_SERVICE_NAMESPACE = f"{GROUP}/service-namespace"
LABEL_SERVICE_NAME = f"{GROUP}/service-name"
LABEL_POOL = f"{GROUP}/pool"
"""Of IPAllocations, for people to select by; each only where it is the same for all holders. Programs read the spec."""

LABEL_EXCLUDE_NODE = "node.kubernetes.io/exclude-from-external-load-balancers"
"""A node with this label takes no traffic from load balancers, whatever its value (KEP-1143)."""
LABEL_DRAINED = f"{GROUP}/drained"
"""On a Node: `berth drain` has taken it out of use, whatever its value, but for `false`. No speaker ignores it."""
TAINT_DELETION = "ToBeDeletedByClusterAutoscaler"
"""The cluster autoscaler is about to delete a node with this taint; Kubernetes' service controller excludes it too."""

TAINT_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
"""An operator's word that the node is shut down (KEP-2268), whatever the taint's value and effect."""

ALLOCATOR_LEASE = "berth-allocator"


HEARTBEAT_PORT = 7473
"""UDP, between the speakers, unless another one is configured."""

_SPEAKER_LEASE = "berth-speaker-"
LABEL_VALUE_CHARACTERS = 63
"""The longest value that an API server takes for a label."""


def speaker_lease(node: str) -> str:
    """The name of the Lease that the speaker on this node renews."""
    return f"{_SPEAKER_LEASE}{node}"


def speaker_lease_labels(node: str) -> dict[str, str]:
    """For people: programs go by the name, which nobody can change. A node's name may be longer than a label's value,
    and then it has no label."""
    labels = {LABEL_COMPONENT: COMPONENT_SPEAKER}
    return labels | {LABEL_NODE: node} if len(node) <= LABEL_VALUE_CHARACTERS else labels


def node_of_speaker_lease(lease: str) -> str | None:
    """The node whose speaker renews the Lease of this name; None for a Lease that is none of theirs."""
    return lease.removeprefix(_SPEAKER_LEASE) if lease.startswith(_SPEAKER_LEASE) else None


def allocation_name(address: str | IPv4Address | IPv6Address) -> str:
    """The name of the IPAllocation of an address: a function of the address, so that two can't exist.

    `v4-192-0-2-10`, `v6-2001-db8-0-0-0-0-0-10`: an IPv6 address is written as its eight groups without leading zeros,
    so each address has one name only. Raises ValueError for what is not an address.
    """
    return _name_of_text(address) if isinstance(address, str) else _name_of(address)


@lru_cache(maxsize=4096)
def _name_of_text(address: str) -> str:
    return _name_of(ip_address(address))


def _name_of(address: IPv4Address | IPv6Address) -> str:
    match address:
        case IPv4Address() as ipv4:
            number = int(ipv4)
            return f"v4-{number >> 24}-{number >> 16 & 255}-{number >> 8 & 255}-{number & 255}"
        case IPv6Address() as ipv6:
            return "v6-" + "-".join(f"{int(group, 16):x}" for group in ipv6.exploded.split(":"))
