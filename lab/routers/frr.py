"""FRR 8 and later: how its daemons are run and asked through vtysh, and FRR as a router of a lab.

Unlike BIRD it spreads flows by link bandwidth: weights in the kernel's table in proportion to what the nodes announce.
Its daemons become user `frr`, who may not read the lab's directory: all that they need is in the sandbox's own /run.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.net.netns import Unsupported
from lab.process import Process
from lab.routers.base import ECMP_WAYS, Place, Received, Router, RouterSettings, by_node, path_in
from lab.routers.daemons import Daemons, Site
from lab.waiting import wait_for

PROGRAMS = Path("/usr/lib/frr")
START_SECONDS = 30.0
_BANDWIDTH = re.compile(r"LB:\d+:(\d+)")


class FrrDaemons(Daemons):
    """Daemons of FRR with any configuration. `directory`: for their files; it exists, and they may write there."""

    def __init__(self, site: Site, directory: str) -> None:
        super().__init__(site)
        self._directory = directory

    def start(self, configurations: Mapping[str, str], *, options: Sequence[str] = ()) -> None:
        """Run the daemons that have a configuration here, in that order, again after `kill`; returns when the last one
        can be asked. `options`: further ones, for all of them."""
        self.site.run("sh", "-c", 'rm -f "$0"/*.vty "$0"/*.pid "$0"/*sock* "$0"/zserv', self._directory)
        for name, configuration in configurations.items():
            self.site.run("sh", "-c", 'cat >"$0"', f"{self._directory}/{name}.conf", stdin=configuration)
            process = self.launch(f"{self.site.name}-{name}", [*self._command(name), *options])
            self._wait_for(name, process)

    def tell(self, daemon: str, *commands: str) -> str:
        """Commands of vtysh, one after the other; what it printed."""
        words = [word for command in commands for word in ("-c", command)]
        return self.site.run("vtysh", "--vty_socket", self._directory, "-d", daemon, *words, check=False)

    def ask(self, daemon: str, command: str) -> Any:
        """A show command, as JSON; {} when there is no answer."""
        try:
            return json.loads(self.tell(daemon, f"{command} json"))
        except ValueError:
            return {}

    def _command(self, name: str) -> list[str]:
        at = self._directory
        control = ["--bfdctl", f"{at}/bfdd.sock"] if name == "bfdd" else []
        places = ["-f", f"{at}/{name}.conf", "-i", f"{at}/{name}.pid", "--vty_socket", at, "-z", f"{at}/zserv"]
        return [str(PROGRAMS / name), "-A", "127.0.0.1", "--log", "stdout", *places, *control]

    def _wait_for(self, name: str, process: Process) -> None:
        """Only `process` is asked whether it still runs: after `kill` the daemons behind it have yet to start."""

        def answers() -> bool:
            return "FRRouting" in self.tell(name, "show version")

        wait_for(f"{name} answers", answers, timeout_seconds=START_SECONDS, meanwhile=process.require_running)


class Frr(Router):
    """FRR in a lab."""

    commands = ("vtysh",)

    def __init__(self, place: Place, settings: RouterSettings) -> None:
        self._directory = f"/run/frr-{place.host.name}"
        self.daemons = self._frr = FrrDaemons(place.site, self._directory)
        super().__init__(place, settings)

    def start(self) -> None:
        if self.place.rootless:
            raise Unsupported("FRR's daemons change their user, which takes root: use BIRD, or a lab as root")
        self.place.site.run("install", "--directory", "--owner=frr", "--group=frr", "/run/frr", self._directory)
        configurations = {"zebra": "", "bgpd": self._bgp()}
        self._frr.start(configurations | ({"bfdd": self._bfd()} if self.settings.bfd else {}))

    def ask(self, command: str) -> Any:
        """A show command of bgpd, as JSON; {} when there is no answer."""
        return self._frr.ask("bgpd", command)

    def established(self) -> set[str]:
        families = (self.ask("show bgp summary") or {}).values()
        peers = [item for family in families for item in family.get("peers", {}).items()]
        return {node for address, peer in peers if peer["state"] == "Established" and (node := self.node_at(address))}

    def routes(self, prefix: str) -> dict[str, Received]:
        paths = self.ask(f"show bgp {_family(prefix)} {prefix}").get("paths", [])
        found = ((self.node_at(path["peer"]["peerId"]), path) for path in paths)
        return {node: _received(path) for node, path in found if node is not None}

    def prefixes(self) -> dict[str, set[str]]:
        tables = [self.ask(f"show bgp {family} unicast").get("routes", {}) for family in ("ipv4", "ipv6")]
        return by_node(
            (self.node_at(path.get("peerId", "")), prefix)
            for table in tables
            for prefix, paths in table.items()
            for path in paths
        )

    def shut(self, node: str) -> None:
        self._configure(f"neighbor {address} shutdown" for address in self._addresses(node))

    def unshut(self, node: str) -> None:
        self._configure(f"no neighbor {address} shutdown" for address in self._addresses(node))

    def _configure(self, lines: Iterator[str]) -> None:
        self._frr.tell("bgpd", "configure terminal", f"router bgp {self.settings.asn}", *lines)

    def _addresses(self, name: str) -> tuple[str, str]:
        node = next(node for node in self.place.nodes if node.name == name)
        return str(node.ipv4), str(node.ipv6)

    def _bgp(self) -> str:
        settings = self.settings
        ipv4 = [str(node.ipv4) for node in self.place.nodes]
        ipv6 = [str(node.ipv6) for node in self.place.nodes]
        about = ["remote-as {asn}", "passive"]
        if settings.password:
            about.append(f"password {settings.password}")
        if settings.bfd:
            about.append("bfd")
        if settings.ttl_security:
            about.append("ttl-security hops 1")
        if not settings.graceful_restart:
            about.append("graceful-restart-disable")
        hold = settings.hold_time_seconds
        confederation = settings.confederation
        about_confederation = [
            f" bgp confederation identifier {confederation}",
            f" bgp confederation peers {settings.node_asn}",
        ]
        lines = [
            f"router bgp {settings.asn}",
            f" bgp router-id {self.place.host.ipv4}",
            " no bgp ebgp-requires-policy",
            " bgp bestpath as-path multipath-relax",
            *(about_confederation if confederation else ()),
            f" timers bgp {max(1, hold // 3)} {hold}",
            *(f" neighbor {each} {line.format(asn=settings.node_asn)}" for each in (*ipv4, *ipv6) for line in about),
        ]
        for family in ("ipv4", "ipv6"):
            lines += [f" address-family {family} unicast", f"  maximum-paths {ECMP_WAYS}"]
            lines += [f"  neighbor {each} activate" for each in (*ipv4, *ipv6)]
            lines += [" exit-address-family"]
        return "\n".join([*lines, ""])

    def _bfd(self) -> str:
        bfd = self.settings.bfd
        assert bfd is not None
        timers = [
            f"  receive-interval {bfd.interval_milliseconds}",
            f"  transmit-interval {bfd.interval_milliseconds}",
            f"  detect-multiplier {bfd.multiplier}",
        ]
        peers = [f" peer {node.ipv4} interface eth0" for node in self.place.nodes]
        return "\n".join(["bfd", *(line for peer in peers for line in (peer, *timers)), ""])


def _family(prefix: str) -> str:
    return "ipv6" if ":" in prefix else "ipv4"


def _received(path: dict[str, Any]) -> Received:
    bandwidth = _BANDWIDTH.search(path.get("extendedCommunity", {}).get("string", ""))
    hops = path.get("nexthops", [])
    as_path, confed_sequence = path_in(path.get("aspath", {}).get("string", ""))
    return Received(
        next_hop=next((hop["ip"] for hop in hops if hop.get("used") or len(hops) == 1), ""),
        as_path=as_path,
        confed_sequence=confed_sequence,
        communities=frozenset(_numbers(path.get("community", {}).get("list", []), 2)),  # type: ignore[arg-type]
        large_communities=frozenset(_numbers(path.get("largeCommunity", {}).get("list", []), 3)),  # type: ignore[arg-type]
        local_pref=path.get("locPrf"),
        med=path.get("metric"),
        link_bandwidth=float(bandwidth[1]) if bandwidth else None,
    )


def _numbers(texts: list[str], count: int) -> Iterator[tuple[int, ...]]:
    """`64512:100`; well-known ones come by name."""
    for text in texts:
        words = "65535:0" if text == "gracefulShutdown" else text
        numbers = tuple(int(word) for word in words.split(":") if word.isdigit())
        if len(numbers) == count:
            yield numbers
