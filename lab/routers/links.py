"""A node and a router on a link of their own, outside any lab: BIRD, FRR or GoBGP with one BGP session.

The router is 10.0.<number>.2 on its link, and the node 10.0.<number>.1 (fd00:0:<number>::2 and ::1).
"""

from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from typing import Any, Self

from crds.addresses import Family
from lab.net.segment import Namespace
from lab.routers.bird import BirdDaemon
from lab.routers.daemons import site_in
from lab.routers.frr import FrrDaemons
from lab.routers.gobgp import GoBgpDaemon
from speaker.bgp.model import PeerConfig, Prefix, Route

NODE_ASN, ROUTER_ASN = 64512, 64513
SAME_SECONDS = 0.05
"""BIRD computes anew each time when a session came up, and is off by a millisecond now and then."""


class Link:
    """The node and one router, on a link of their own."""

    def __init__(self, node: Namespace, number: int) -> None:
        self.node, self.router, self.number = node, Namespace(), number
        self.node.run(
            "ip", "link", "add", f"eth{number}", "type", "veth", "peer", "name", "eth0", "netns", self.router.path
        )
        for host, interface, last in ((node, f"eth{number}", 1), (self.router, "eth0", 2)):
            host.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.default.disable_ipv6=0")
            host.run("ip", "link", "set", interface, "up")
            host.run("ip", "address", "add", f"10.0.{number}.{last}/24", "dev", interface)
            host.run("ip", "address", "add", f"fd00:0:{number}::{last}/64", "dev", interface, "nodad")

    @property
    def ours(self) -> IPv4Address:
        return IPv4Address(f"10.0.{self.number}.1")

    @property
    def theirs(self) -> IPv4Address:
        return IPv4Address(f"10.0.{self.number}.2")

    @property
    def ours_v6(self) -> IPv6Address:
        return IPv6Address(f"fd00:0:{self.number}::1")

    @property
    def theirs_v6(self) -> IPv6Address:
        return IPv6Address(f"fd00:0:{self.number}::2")

    @property
    def interface(self) -> str:
        """The node's on this link; the router's is eth0."""
        return f"eth{self.number}"

    @property
    def theirs_on_link(self) -> IPv6Address:
        """The router's link-local address."""
        return _on_link(self.router, "eth0")

    @property
    def ours_on_link(self) -> IPv6Address:
        """The node's link-local address."""
        return _on_link(self.node, self.interface)

    def have_no_ipv4(self) -> None:
        """From now on: nothing but link-local addresses on this link, and the node's IPv4 address elsewhere."""
        for host, interface, own in ((self.node, self.interface, self.ours), (self.router, "eth0", self.theirs)):
            host.run("ip", "address", "flush", "dev", interface, "scope", "global")
            host.run("ip", "address", "add", f"{own}/32", "dev", "lo")

    def peer(self, name: str = "tor", **changes: Any) -> PeerConfig:
        """What the node is to know of the router."""
        return peer_on(self.number, name, **changes)

    def close(self) -> None:
        self.router.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _on_link(host: Namespace, interface: str) -> IPv6Address:
    words = host.run("ip", "-6", "-o", "address", "show", "dev", interface, "scope", "link").split()
    return IPv6Address(words[words.index("inet6") + 1].partition("/")[0])


def peer_on(number: int, name: str = "tor", **changes: Any) -> PeerConfig:
    """The router on the link of this number."""
    fields: dict[str, Any] = {
        "name": name,
        "my_asn": NODE_ASN,
        "peer_asn": ROUTER_ASN,
        "peer_address": IPv4Address(f"10.0.{number}.2"),
        "router_id": IPv4Address(f"10.0.{number}.1"),
        "families": frozenset(Family),
        "connect_retry_seconds": 1,
    }
    return PeerConfig(**fields | changes)


class Bird(BirdDaemon):
    """BIRD with one BGP protocol, `node`, that imports all there is. `bgp`, `ipv4`: further words about it, and about
    its channel of that family. `installs`: routes go into the router's own table."""

    def __init__(
        self,
        link: Link,
        directory: Path,
        *,
        bgp: str = "",
        ipv4: str = "",
        asn: int = ROUTER_ASN,
        node_asn: int = NODE_ASN,
        extra: str = "",
        over_ipv6: bool = False,
        installs: bool = False,
    ) -> None:
        super().__init__(site_in(link.router, directory / f"bird{link.number}"))
        theirs, ours = (link.theirs_v6, link.ours_v6) if over_ipv6 else (link.theirs, link.ours)
        kernel = "".join(f"protocol kernel {{ ipv{n} {{ import none; export all; }}; }}\n" for n in (4, 6))
        self._configuration = (
            f"log stderr all;\nrouter id {link.theirs};\nprotocol device {{}}\n{extra}\n{kernel if installs else ''}"
            f"protocol bgp node {{ local {theirs} as {asn}; neighbor {ours} as {node_asn};"
            f" connect retry time 1; connect delay time 1; error wait time 1,2; {bgp}\n"
            f"ipv4 {{ import all; export all; {ipv4} }};\n"
            "ipv6 { import all; export all; }; }\n"
        )
        self.start(self._configuration)

    def add(self, protocol: str) -> None:
        """One more protocol, while it runs."""
        self._configuration += protocol
        self.configure(self._configuration)

    def reconfigure(self, before: str, after: str) -> None:
        """Other words in the place of these, while it runs."""
        self._configuration = self._configuration.replace(before, after)
        self.configure(self._configuration)

    def prefixes(self) -> set[Prefix]:
        lines = self.ask("show route protocol node").splitlines()
        return {ip_network(line.split()[0]) for line in lines if "[node" in line}

    def route(self, prefix: Prefix) -> dict[str, str]:
        """Its attributes, by BIRD's names."""
        lines = self.ask(f"show route {prefix} protocol node all").splitlines()
        parts = (line.strip().partition(":") for line in lines)
        return {name: value.strip() for name, _, value in parts}

    def is_up(self) -> bool:
        return "Established" in self.ask("show protocols node")

    def since(self) -> float:
        """When the session came up, in seconds of the router's day; see SAME_SECONDS."""
        row = next(line for line in self.ask("show protocols node").splitlines() if line.startswith("node"))
        return _seconds(row.split()[4])

    def came(self, prefix: Prefix) -> float:
        """When it got the route, as `since`; an UPDATE that changes nothing does not count."""
        lines = self.ask(f"show route {prefix} protocol node").splitlines()
        return next(_seconds(line.split("[node ")[1].split("]")[0].split()[0]) for line in lines if "[node " in line)

    def log(self) -> str:
        return self.log_path.read_text()


class Frr(FrrDaemons):
    """FRR's bgpd with one neighbor; `neighbor` are lines about it, after "neighbor ADDRESS", and `bgp` lines about the
    router itself. It installs no routes."""

    def __init__(
        self,
        link: Link,
        directory: Path,
        *,
        neighbor: tuple[str, ...] = (),
        bgp: tuple[str, ...] = (),
        asn: int = ROUTER_ASN,
        node_asn: str = str(NODE_ASN),
        over_ipv6: bool = False,
        families: tuple[str, ...] = ("ipv4", "ipv6"),
    ) -> None:
        site = site_in(link.router, directory / f"frr{link.number}")
        super().__init__(site, str(site.directory))
        ours = link.ours_v6 if over_ipv6 else link.ours
        lines = [f" neighbor {ours} {line}" for line in (f"remote-as {node_asn}", "timers connect 1", *neighbor)]
        configuration = "\n".join(
            [
                f"router bgp {asn}",
                f" bgp router-id {link.theirs}",
                " no bgp ebgp-requires-policy",
                " no bgp default ipv4-unicast",
                *(f" {line}" for line in bgp),
                *lines,
                *(
                    line
                    for family in families
                    for line in (
                        f" address-family {family} unicast",
                        f"  neighbor {ours} activate",
                        " exit-address-family",
                    )
                ),
                "",
            ]
        )
        self.start({"bgpd": configuration}, options=["--skip_runas", "--no_kernel", "--no_zebra"])

    def prefixes(self) -> set[Prefix]:
        tables = [self.ask("bgpd", f"show bgp {family} unicast").get("routes", {}) for family in ("ipv4", "ipv6")]
        return {ip_network(prefix) for table in tables for prefix in table}

    def route(self, prefix: Prefix) -> dict[str, Any]:
        found = self.ask("bgpd", f"show bgp ipv{prefix.version} unicast {prefix}").get("paths", [])
        return dict(found[0]) if found else {}

    def counts(self, neighbor: object) -> tuple[int, int]:
        """How often the session came up, and how many UPDATEs it brought, End-of-RIB among them."""
        found = self.ask("bgpd", f"show bgp neighbors {neighbor}")[str(neighbor)]
        return found["connectionsEstablished"], found["messageStats"]["updatesRecv"]


class InstallingFrr(FrrDaemons):
    """FRR's zebra, bfdd and bgpd, with any configuration of bgpd. Routes go into the router's own table. They change
    their user, who must be let into `directory`."""

    def __init__(self, link: Link, directory: Path, configuration: str) -> None:
        site = site_in(link.router, directory / f"frr{link.number}")
        super().__init__(site, str(site.directory))
        self.start({"zebra": "", "bfdd": "", "bgpd": configuration})


class GoBgp(GoBgpDaemon):
    """gobgpd with one neighbor, which it waits for. `password`: for TCP MD5. `unnumbered`: the neighbor is whoever is
    on its link (with IPv6 next hops for IPv4 routes, RFC 8950, which it offers there alone). `confederation`: the
    number of the one that both are members of (RFC 5065)."""

    def __init__(
        self,
        link: Link,
        directory: Path,
        *,
        asn: int = ROUTER_ASN,
        node_asn: int = NODE_ASN,
        password: str = "",
        unnumbered: bool = False,
        confederation: int | None = None,
    ) -> None:
        super().__init__(site_in(link.router, directory / f"gobgp{link.number}"))
        families = "".join(
            f'[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = "{family}-unicast"\n'
            "[neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n"
            for family in ("ipv4", "ipv6")
        )
        neighbor = 'neighbor-interface = "eth0"' if unnumbered else f'neighbor-address = "{link.ours}"'
        members = (
            f"[global.confederation.config]\nenabled = true\nidentifier = {confederation}\n"
            f"member-as-list = [{node_asn}]\n"
        )
        self.start(
            f'[global.config]\nas = {asn}\nrouter-id = "{link.theirs}"\nport = 179\n{members if confederation else ""}'
            f"[[neighbors]]\n[neighbors.config]\n{neighbor}\npeer-as = {node_asn}\n"
            f'auth-password = "{password}"\n[neighbors.transport.config]\npassive-mode = true\n'
            "[neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 60\n" + families
        )

    def prefixes(self) -> set[Prefix]:
        tables = [self.ask("global", "rib", "-a", family) for family in ("ipv4", "ipv6")]
        return {ip_network(prefix) for table in tables for prefix in table}

    def route(self, prefix: Prefix) -> dict[int, dict[str, Any]]:
        """Its path attributes by their type code (RFC 4271 §4.3)."""
        paths = self.ask("global", "rib", "-a", f"ipv{prefix.version}").get(str(prefix), [])
        return {attribute["type"]: attribute for attribute in paths[0]["attrs"]} if paths else {}

    def is_stale(self, prefix: Prefix) -> bool:
        """Whether it keeps the route of a session that has ended (RFC 4724 §4.2)."""
        paths = self.ask("global", "rib", "-a", f"ipv{prefix.version}").get(str(prefix), [])
        return bool(paths) and bool(paths[0].get("stale"))


def routes(*prefixes: str, **attributes: Any) -> dict[Prefix, Route]:
    """The same attributes for all."""
    made = [Route(ip_network(prefix), **attributes) for prefix in prefixes]
    return {route.prefix: route for route in made}


def _seconds(clock: str) -> float:
    """Of a day, at a time of day as BIRD prints it."""
    at = datetime.strptime(clock, "%H:%M:%S.%f")  # noqa: DTZ007
    return (at - datetime(1900, 1, 1)).total_seconds()  # noqa: DTZ001
