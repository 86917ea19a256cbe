"""A real router in a lab: its settings, what it has learned of the nodes, and how it is disturbed.

BIRD (bird.py) or FRR (frr.py) on a host of the segment, with a session for every node, over IPv4 and over IPv6. It
waits for the nodes to connect. What is asked here is the router's own table and log: the judge of what speakers say.
"""

import json
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_network
from typing import Any

from lab.net.hosts import Host, Node
from lab.net.netns import Unsupported, lab_environment
from lab.process import Process
from lab.routers.daemons import Daemons, Site

ROUTER_ASN, NODE_ASN = 64513, 64512
ECMP_WAYS = 16
LOOPBACKS = IPv4Network("10.255.0.0/24")
PACKAGES = {"bird": "bird2", "vtysh": "frr"}
"""Debian packages by a command that each brings."""
_CONFED_SEQUENCE = re.compile(r"\(([\d ]*)\)")


@dataclass(frozen=True)
class Bfd:
    """Timers of the router's BFD sessions with the nodes."""

    interval_milliseconds: int = 300
    multiplier: int = 3


ROUTERS = ("bird", "frr")
"""The kinds of them."""


@dataclass(frozen=True)
class RouterSettings:
    """`node_asn` equal to `asn`: iBGP. `installs`: routes go into the host's own table, several next hops for one
    prefix (ECMP), so that a client behind it reaches the addresses. `graceful_restart` False: the router does not
    know it, and drops the routes of a session that ends. `ttl_security`: it takes packets from the segment alone, told
    by their TTL of 255 (GTSM, RFC 5082). `loopbacks`: sessions are with the nodes' loopback addresses (`loopback_of`),
    which the router reaches through the nodes; over IPv4, and BIRD alone. `confederation`: the number of the one that
    the router's AS and the nodes' are members of (RFC 5065); None = they are in none."""

    asn: int = ROUTER_ASN
    node_asn: int = NODE_ASN
    password: str = ""
    bfd: Bfd | None = None
    graceful_restart: bool = True
    installs: bool = False
    hold_time_seconds: int = 90
    ttl_security: bool = False
    loopbacks: bool = False
    confederation: int | None = None


def loopback_of(node: Host) -> IPv4Address:
    """An address that a node may have on `lo`, and on no network."""
    return LOOPBACKS[int(node.ipv4) & 0xFF]


@dataclass(frozen=True)
class Received:
    """A route as the router has it of one node. `confed_sequence`: the member ASes of its confederation that are in the
    path (RFC 5065, AS_CONFED_SEQUENCE); they are not in `as_path`."""

    next_hop: str
    as_path: tuple[int, ...] = ()
    confed_sequence: tuple[int, ...] = ()
    communities: frozenset[tuple[int, int]] = frozenset()
    large_communities: frozenset[tuple[int, int, int]] = frozenset()
    local_pref: int | None = None
    med: int | None = None
    link_bandwidth: float | None = None
    """Bytes per second; None = the router tells none."""


def path_in(text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """`as_path` and `confed_sequence` of a path as BIRD and FRR show it: the latter in parentheses."""
    within = " ".join(_CONFED_SEQUENCE.findall(text))
    return _as_numbers(_CONFED_SEQUENCE.sub("", text)), _as_numbers(within)


def _as_numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split() if word.isdigit())


@dataclass(frozen=True)
class RouteEvent:
    """What the router did with a node's route to a prefix, and when (Unix time, microseconds)."""

    at: float
    node: str
    prefix: str
    removed: bool


@dataclass(frozen=True)
class KernelHop:
    """One next hop of a route in the router's kernel."""

    node: str
    weight: int


@dataclass(frozen=True)
class Place:
    """Where a router runs in a lab, and the nodes that it has sessions with."""

    site: Site
    host: Host
    nodes: tuple[Node, ...]
    rootless: bool


class Router(ABC):
    """A running router. Prefixes are texts, as `192.0.2.1/32`; nodes are named."""

    commands: tuple[str, ...] = ()
    """The ones that must be there."""

    daemons: Daemons

    def __init__(self, place: Place, settings: RouterSettings) -> None:
        """Start it. Raises Unsupported when its commands, or the rights that it needs, are not there."""
        require_commands(self.commands)
        self.place = place
        self.settings = settings
        place.site.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if settings.installs:
            self._spread_flows()
        self.start()

    # --- its life

    @abstractmethod
    def start(self) -> None:
        """Run its daemons, again after `kill`; returns when they can be asked."""

    @property
    def processes(self) -> list[Process]:
        return self.daemons.processes

    def kill(self) -> None:
        """SIGKILL: its connections end without a word of BGP."""
        self.daemons.kill()

    def freeze(self) -> None:
        """It holds its connections, and does nothing."""
        self.daemons.freeze()

    def resume(self) -> None:
        self.daemons.resume()

    # --- what it has

    @abstractmethod
    def established(self) -> set[str]:
        """The nodes with a session that is up, over IPv4 or IPv6."""

    @abstractmethod
    def routes(self, prefix: str) -> dict[str, Received]:
        """Exactly this prefix, by node."""

    @abstractmethod
    def prefixes(self) -> dict[str, set[str]]:
        """All that was learned, by node; a node without routes is left out."""

    def nodes_with(self, address: str) -> set[str]:
        """The nodes that it has a host route to this address from."""
        return set(self.routes(str(ip_network(address))))

    def kernel_hops(self, address: str) -> list[KernelHop]:
        """The next hops in the host's own table, by node. Empty: no host route."""
        version = "-6" if ":" in address else "-4"
        printed = self.place.site.run("ip", version, "-json", "route", "show", str(ip_network(address)))
        rows: list[dict[str, Any]] = json.loads(printed or "[]")
        hops = [hop for row in rows for hop in row.get("nexthops", [row])]
        named = [(self.node_at(hop["gateway"]), hop.get("weight", 1)) for hop in hops if "gateway" in hop]
        return sorted((KernelHop(node, weight) for node, weight in named if node), key=lambda hop: hop.node)

    # --- disturbing it

    @abstractmethod
    def shut(self, node: str) -> None:
        """Administratively down: a NOTIFICATION, and no session until `unshut`."""

    @abstractmethod
    def unshut(self, node: str) -> None: ...

    # --- small parts

    def node_at(self, address: str) -> str | None:
        """Whose address that is."""
        return next((node.name for node in self.place.nodes if address in (str(node.ipv4), str(node.ipv6))), None)

    def _spread_flows(self) -> None:
        """Next hops by a hash of addresses and ports, so that one client's flows take several ways."""
        for family in ("ipv4", "ipv6"):
            path = f"/proc/sys/net/{family}/fib_multipath_hash_policy"
            self.place.site.run("sh", "-c", f"echo 1 >{path}")


def require_commands(commands: Iterable[str]) -> None:
    """Raises Unsupported, saying what to install."""
    path = lab_environment()["PATH"]
    missing = sorted({PACKAGES[command] for command in commands if shutil.which(command, path=path) is None})
    if missing:
        raise Unsupported(f"missing Debian packages: {' '.join(missing)} (apt install {' '.join(missing)})")


def by_node(routes: Iterable[tuple[str | None, str]]) -> dict[str, set[str]]:
    """Prefixes by node, from pairs; a pair without a node is left out."""
    found: dict[str, set[str]] = {}
    for node, prefix in routes:
        if node is not None:
            found.setdefault(node, set()).add(str(ip_network(prefix)))
    return found
