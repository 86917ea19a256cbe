"""Real routers in network namespaces of their own, and a node beside them: BIRD and FRR, each run by hand.

A router is 10.0.<number>.2 on its link with the node, which is 10.0.<number>.1 there (fd00:0:<number>::2 and ::1).
"""

import ctypes
import json
import signal
import subprocess
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from typing import Any, TypeVar

from lab.net.segment import Namespace
from speaker.bgp.model import PeerConfig, Prefix, Route

T = TypeVar("T")
FRR = Path("/usr/lib/frr")
NODE_ASN, ROUTER_ASN = 64512, 64513
SAME_SECONDS = 0.05


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

    def peer(self, name: str = "tor", **changes: Any) -> PeerConfig:
        """What the node is to know of the router."""
        return peer_on(self.number, name, **changes)

    def close(self) -> None:
        self.router.close()


def peer_on(number: int, name: str = "tor", **changes: Any) -> PeerConfig:
    """The router on the link of this number."""
    fields: dict[str, Any] = {
        "name": name,
        "my_asn": NODE_ASN,
        "peer_asn": ROUTER_ASN,
        "peer_address": IPv4Address(f"10.0.{number}.2"),
        "router_id": IPv4Address(f"10.0.{number}.1"),
        "families": frozenset({"ipv4", "ipv6"}),
        "connect_retry_seconds": 1,
    }
    return PeerConfig(**fields | changes)


def _seconds(clock: str) -> float:
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _die_with_us() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Daemon:
    """A process of a router."""

    def __init__(self, host: Namespace, *command: str) -> None:
        self.process = subprocess.Popen(
            [*host.prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_die_with_us,
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Bird:
    """BIRD with one BGP protocol, `node`, that imports all there is. `bgp`: further words about it."""

    def __init__(
        self,
        link: Link,
        directory: Path,
        *,
        bgp: str = "",
        asn: int = ROUTER_ASN,
        node_asn: int = NODE_ASN,
        extra: str = "",
    ) -> None:
        self._directory = directory / f"bird{link.number}"
        self._directory.mkdir()
        self._socket = self._directory / "ctl"
        self._config = self._directory / "bird.conf"
        self._config.write_text(
            f'log "{self._directory / "log"}" all;\nrouter id {link.theirs};\nprotocol device {{}}\n{extra}\n'
            f"protocol bgp node {{ local {link.theirs} as {asn}; neighbor {link.ours} as {node_asn};"
            f" connect retry time 1; connect delay time 1; error wait time 1,2; {bgp}\n"
            "ipv4 { import all; export all; }; ipv6 { import all; export all; }; }\n"
        )
        command = ["bird", "-f", "-c", str(self._config), "-s", str(self._socket), "-P", str(self._directory / "pid")]
        self.daemon = Daemon(link.router, *command)

    def ask(self, *words: str) -> str:
        done = subprocess.run(
            ["birdc", "-s", str(self._socket), *words], capture_output=True, text=True, timeout=20, check=False
        )
        return done.stdout

    def add(self, protocol: str) -> None:
        """While it runs."""
        with self._config.open("a") as config:
            config.write(protocol)
        self.ask("configure")

    def prefixes(self) -> set[Prefix]:
        lines = self.ask("show", "route", "protocol", "node").splitlines()
        words = [line.split()[0] for line in lines if "[node" in line]
        return {ip_network(word) for word in words}

    def route(self, prefix: Prefix) -> dict[str, str]:
        """Its attributes, by BIRD's names."""
        lines = self.ask("show", "route", str(prefix), "protocol", "node", "all").splitlines()
        parts = (line.strip().partition(":") for line in lines)
        return {name: value.strip() for name, _, value in parts}

    def is_up(self) -> bool:
        return "Established" in self.ask("show", "protocols", "node")

    def since(self) -> float:
        """When the session came up: seconds of the router's day. BIRD reckons it anew each time, and is off by a
        millisecond now and then: see SAME_SECONDS."""
        row = next(line for line in self.ask("show", "protocols", "node").splitlines() if line.startswith("node"))
        return _seconds(row.split()[4])

    def came(self, prefix: Prefix) -> float:
        """When it got the route, as `since`; an UPDATE that changes nothing does not count."""
        lines = self.ask("show", "route", str(prefix), "protocol", "node").splitlines()
        return next(_seconds(line.split("[node ")[1].split("]")[0].split()[0]) for line in lines if "[node " in line)

    def log(self) -> str:
        return (self._directory / "log").read_text()

    def close(self) -> None:
        self.daemon.kill()


class Frr:
    """FRR's zebra and bgpd with one neighbor; `neighbor` are lines about it, after "neighbor ADDRESS"."""

    def __init__(
        self,
        link: Link,
        directory: Path,
        *,
        neighbor: tuple[str, ...] = (),
        asn: int = ROUTER_ASN,
        node_asn: str = str(NODE_ASN),
        over_ipv6: bool = False,
    ) -> None:
        self._directory = directory / f"frr{link.number}"
        self._directory.mkdir(mode=0o777)
        self._directory.chmod(0o777)
        config = self._directory / "bgpd.conf"
        ours = link.ours_v6 if over_ipv6 else link.ours
        lines = [f" neighbor {ours} {line}" for line in (f"remote-as {node_asn}", "timers connect 1", *neighbor)]
        config.write_text(
            "\n".join(
                [
                    f"router bgp {asn}",
                    f" bgp router-id {link.theirs}",
                    " no bgp ebgp-requires-policy",
                    *lines,
                    " address-family ipv4 unicast",
                    f"  neighbor {ours} activate",
                    " exit-address-family",
                    " address-family ipv6 unicast",
                    f"  neighbor {ours} activate",
                    " exit-address-family",
                    "",
                ]
            )
        )
        places = ["-A", "127.0.0.1", "--vty_socket", str(self._directory), "-i", f"{self._directory}/pid"]
        self.daemon = Daemon(
            link.router,
            str(FRR / "bgpd"),
            "-f",
            str(config),
            *places,
            "-S",
            "-n",
            "-Z",
            "-z",
            f"{self._directory}/zserv",
        )

    def ask(self, command: str) -> Any:
        done = subprocess.run(
            ["vtysh", "--vty_socket", str(self._directory), "-d", "bgpd", "-c", f"{command} json"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        try:
            return json.loads(done.stdout)
        except ValueError:
            return {}

    def prefixes(self) -> set[Prefix]:
        tables = [self.ask(f"show bgp {family} unicast").get("routes", {}) for family in ("ipv4", "ipv6")]
        return {ip_network(prefix) for table in tables for prefix in table}

    def route(self, prefix: Prefix) -> dict[str, Any]:
        found = self.ask(f"show bgp ipv{prefix.version} unicast {prefix}").get("paths", [])
        return dict(found[0]) if found else {}

    def counts(self, neighbor: object) -> tuple[int, int]:
        """How often the session came up, and how many UPDATEs it brought, End-of-RIB among them."""
        told = self.ask(f"show bgp neighbors {neighbor}")[str(neighbor)]
        return told["connectionsEstablished"], told["messageStats"]["updatesRecv"]

    def close(self) -> None:
        self.daemon.kill()


class GoBgp:
    """gobgpd with one neighbor, which it waits for. `password`: for TCP MD5."""

    def __init__(
        self, link: Link, directory: Path, *, asn: int = ROUTER_ASN, node_asn: int = NODE_ASN, password: str = ""
    ) -> None:
        self._prefix = link.router.prefix
        link.router.run("ip", "link", "set", "lo", "up")  # its own command line asks it there
        config = directory / f"gobgp{link.number}.toml"
        families = "".join(
            f'[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = "{family}-unicast"\n'
            "[neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n"
            for family in ("ipv4", "ipv6")
        )
        config.write_text(
            f'[global.config]\nas = {asn}\nrouter-id = "{link.theirs}"\nport = 179\n'
            f'[[neighbors]]\n[neighbors.config]\nneighbor-address = "{link.ours}"\npeer-as = {node_asn}\n'
            f'auth-password = "{password}"\n[neighbors.transport.config]\npassive-mode = true\n'
            "[neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 60\n" + families
        )
        self.daemon = Daemon(link.router, "gobgpd", "-f", str(config), "--api-hosts=127.0.0.1:50051")

    def ask(self, *words: str) -> Any:
        done = subprocess.run(
            [*self._prefix, "gobgp", "-j", *words], capture_output=True, text=True, timeout=20, check=False
        )
        try:
            told = json.loads(done.stdout) or {}
        except ValueError:
            return {}
        return {} if "error" in told else told  # it is not up yet, or busy

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

    def close(self) -> None:
        self.daemon.kill()


def until(what: str, ask: Callable[[], T], seconds: float = 30.0) -> T:
    """Ask until it is so. For use outside an event loop, or in a thread."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)
    return answer


def routes(*prefixes: str, **attributes: Any) -> dict[Prefix, Route]:
    made = [Route(ip_network(prefix), **attributes) for prefix in prefixes]
    return {route.prefix: route for route in made}
