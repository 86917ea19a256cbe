"""FRR as a router of the lab: zebra, bgpd and, for BFD, bfdd; asked through vtysh.

Beside BIRD it spreads flows by link bandwidth: weights in the kernel's table in proportion to what the nodes announce.
Its daemons become user `frr`, who may not read the lab's directory: all they need is in the sandbox's own /run.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.net.netns import HUB, Unsupported
from lab.process import Process, wait_for
from lab.routers.base import ECMP_WAYS, Received, Router, by_node

DAEMONS = Path("/usr/lib/frr")
ASK_SECONDS = 20.0
START_SECONDS = 30.0
_BANDWIDTH = re.compile(r"LB:\d+:(\d+)")


class Frr(Router):
    """FRR 8 and later."""

    commands = ("vtysh",)

    def start(self) -> None:
        if self.place.namespaces.rootless:
            raise Unsupported("FRR's daemons change their user, which takes root: use BIRD, or a lab as root")
        names = ["zebra", "bgpd", *(["bfdd"] if self.settings.bfd else [])]
        if not self.processes:
            self._prepare(names)
        self._run(["sh", "-c", 'rm -f "$0"/*.vty "$0"/*.pid "$0"/*sock* "$0"/zserv', self._run_directory])
        self.processes = [self._daemon(number, name) for number, name in enumerate(names)]
        wait_for("bgpd answers", self._answers, timeout_seconds=START_SECONDS, meanwhile=self._all_run)

    def ask(self, command: str) -> Any:
        """A show command of bgpd, as JSON."""
        try:
            return json.loads(self.tell(f"{command} json"))
        except ValueError:
            return {}

    def tell(self, *commands: str, daemon: str = "bgpd") -> str:
        """Commands of vtysh, one after the other."""
        words = [word for command in commands for word in ("-c", command)]
        vtysh = ["vtysh", "--vty_socket", self._run_directory, "-d", daemon, *words]
        return self.place.namespaces.run(HUB, vtysh, check=False, timeout_seconds=ASK_SECONDS).stdout

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
        self.tell("configure terminal", f"router bgp {self.settings.asn}", *lines)

    def _addresses(self, name: str) -> tuple[str, str]:
        node = next(node for node in self.place.nodes if node.name == name)
        return str(node.ipv4), str(node.ipv6)

    def _answers(self) -> bool:
        return "FRRouting" in self.tell("show version")

    def _all_run(self) -> None:
        for process in self.processes:
            process.require_running()

    @property
    def _run_directory(self) -> str:
        return f"/run/frr-{self.place.host.name}"

    def _run(self, command: list[str], *, stdin: str | None = None) -> None:
        self.place.namespaces.run(HUB, command, stdin=stdin)

    def _prepare(self, names: list[str]) -> None:
        """Configuration where the daemons may read it."""
        self._run(["install", "--directory", "--owner=frr", "--group=frr", "/run/frr", self._run_directory])
        for name in names:
            text = "log stdout\n" + {"bgpd": self._bgp, "bfdd": self._bfd}.get(name, lambda: "")()
            self._run(["sh", "-c", 'cat >"$0"', f"{self._run_directory}/{name}.conf"], stdin=text)

    def _daemon(self, number: int, name: str) -> Process:
        if number < len(self.processes):
            process = self.processes[number]
            process.start()
        else:
            process = self.place.start(f"{self.place.host.name}-{name}", self.place.host.name, self._command(name))
        if name == "zebra":
            serves = ["test", "-S", f"{self._run_directory}/zserv"]
            wait_for(
                "zebra serves",
                lambda: self.place.namespaces.run(HUB, serves, check=False).returncode == 0,
                timeout_seconds=START_SECONDS,
                meanwhile=process.require_running,
            )
        return process

    def _command(self, name: str) -> list[str]:
        at = self._run_directory
        control = ["--bfdctl", f"{at}/bfdd.sock"] if name == "bfdd" else []
        places = ["-f", f"{at}/{name}.conf", "-i", f"{at}/{name}.pid", "--vty_socket", at, "-z", f"{at}/zserv"]
        return [str(DAEMONS / name), "-A", "127.0.0.1", *places, *control]

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
        lines = [
            f"router bgp {settings.asn}",
            f" bgp router-id {self.place.host.ipv4}",
            " no bgp ebgp-requires-policy",
            " bgp bestpath as-path multipath-relax",
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
    return Received(
        next_hop=next((hop["ip"] for hop in hops if hop.get("used") or len(hops) == 1), ""),
        as_path=tuple(int(word) for word in path.get("aspath", {}).get("string", "").split() if word.isdigit()),
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
