"""BIRD 2: how it is run and asked over its control socket, and BIRD as a router of a lab.

In a lab its protocols are named after the nodes: `node1` is the session over IPv4, `node1_ipv6` the one over IPv6.
"""

import re
import socket
import struct
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from lab.routers.base import (
    ECMP_WAYS,
    Place,
    Received,
    RouteEvent,
    Router,
    RouterSettings,
    by_node,
    loopback_of,
    path_in,
)
from lab.routers.daemons import Daemons
from lab.waiting import wait_for

ASK_SECONDS = 20.0
START_SECONDS = 20.0
OVER_IPV6 = "_ipv6"
LINK_BANDWIDTH = (0x0004, 0x4004)
"""Type of the extended community: transitive or not (RFC 4360 §2, RFC 10005). BIRD has no name for it."""

_EVENT = re.compile(
    r"^(?P<at>\d{4}-\S+ \S+) <TRACE> (?P<node>node\d+)(_ipv6)?\.ipv[46] > "
    r"(?P<change>added|updated|removed|same|replaced)[^/]* (?P<prefix>[0-9a-f.:]+/\d+)",
)
_ROUTE = re.compile(r"^(?:(?P<prefix>[0-9a-f.:]+/\d+))?\s+unicast \[(?P<node>node\d+)")
_PAIR, _TRIPLE = re.compile(r"\((\d+),(\d+)\)"), re.compile(r"\((\d+), (\d+), (\d+)\)")
_UNKNOWN = re.compile(r"\(unknown (0x[0-9a-f]+), \d+, (\d+)\)")


class BirdDaemon(Daemons):
    """BIRD with any configuration."""

    def start(self, configuration: str) -> None:
        """Run it, again after `kill`; returns when it can be asked."""
        at = self.site.path
        self._config.write_text(configuration)
        self.launch(self.site.name, ["bird", "-f", "-c", at("bird.conf"), "-s", at("ctl"), "-P", at("pid")])
        wait_for("BIRD answers", self._answers, timeout_seconds=START_SECONDS, meanwhile=self.require_running)

    def configure(self, configuration: str) -> None:
        """Another configuration, while it runs."""
        self._config.write_text(configuration)
        self.ask("configure")

    def ask(self, command: str) -> str:
        """One command of birdc. Its answer, without the codes in front of lines. Raises OSError when it is not up."""
        return _asked(self.site.directory / "ctl", command)

    @property
    def log_path(self) -> Path:
        """Where its standard error goes."""
        return self.processes[0].log_path

    @property
    def _config(self) -> Path:
        return self.site.directory / "bird.conf"

    def _answers(self) -> bool:
        try:
            return "BIRD" in self.ask("show status")
        except OSError:
            return False


class Bird(Router):
    """BIRD 2 in a lab."""

    commands = ("bird",)

    def __init__(self, place: Place, settings: RouterSettings) -> None:
        self.daemons = self._bird = BirdDaemon(place.site)
        super().__init__(place, settings)

    def start(self) -> None:
        self._bird.start(self._configuration())

    def ask(self, command: str) -> str:
        """One command of birdc. Its answer, without the codes in front of lines."""
        return self._bird.ask(command)

    def established(self) -> set[str]:
        rows = (line.split() for line in self.ask("show protocols").splitlines())
        return {_node(row[0]) for row in rows if "Established" in row}

    def routes(self, prefix: str) -> dict[str, Received]:
        return {node: received for node, _, received in _received(self.ask(f"show route {prefix} all"))}

    def prefixes(self) -> dict[str, set[str]]:
        return by_node((node, prefix) for node, prefix in _listed(self.ask("show route")))

    def route_events(self, *, since: float = 0.0) -> list[RouteEvent]:
        """What its log says of the nodes' routes, in order, since that Unix time."""
        lines = self.log_path.read_text().splitlines()
        return [event for line in lines if (event := route_event_of(line)) is not None and event.at >= since]

    @property
    def log_path(self) -> Path:
        return self._bird.log_path

    def shut(self, node: str) -> None:
        for name in (node, node + OVER_IPV6):
            self.ask(f"disable {name}")

    def unshut(self, node: str) -> None:
        for name in (node, node + OVER_IPV6):
            self.ask(f"enable {name}")

    def restart_session(self, node: str) -> None:
        """A NOTIFICATION, and it may come back at once."""
        for name in (node, node + OVER_IPV6):
            self.ask(f"restart {name}")

    def _configuration(self) -> str:
        kernel = "".join(_kernel(version) for version in (4, 6)) if self.settings.installs else ""
        bfd = self.settings.bfd
        fast = "" if bfd is None else _bfd(bfd.interval_milliseconds, bfd.multiplier)
        host = self.place.host
        sessions = "".join(
            self._session(node.name, host.ipv4, node.ipv4) + self._session(node.name + OVER_IPV6, host.ipv6, node.ipv6)
            for node in self.place.nodes
        )
        if self.settings.loopbacks:
            sessions = "".join(self._session(node.name, host.ipv4, loopback_of(node)) for node in self.place.nodes)
            ways = "".join(f" route {loopback_of(node)}/32 via {node.ipv4};\n" for node in self.place.nodes)
            sessions = f"protocol static {{\n ipv4;\n{ways}}}\n{sessions}"
        return (
            f"log stderr all;\ntimeformat log iso long us;\nrouter id {host.ipv4};\n"
            f"protocol device {{}}\nprotocol direct {{ ipv4; ipv6; }}\n{fast}{kernel}{sessions}"
        )

    def _session(self, name: str, own: object, node: object) -> str:
        settings, reach = self.settings, "multihop 2" if self.settings.loopbacks else "direct"
        return (
            f"protocol bgp {name} {{\n local {own} as {settings.asn};\n neighbor {node} as {settings.node_asn};\n"
            f" {reach};\n passive;\n hold time {settings.hold_time_seconds};\n error wait time 1,2;\n"
            f" graceful restart {'aware' if settings.graceful_restart else 'off'};\n"
            + (f' password "{settings.password}";\n' if settings.password else "")
            + (" bfd;\n" if settings.bfd else "")
            + (" ttl security on;\n" if settings.ttl_security else "")
            + (f" confederation {settings.confederation};\n confederation member;\n" if settings.confederation else "")
            + " debug { routes, states, events };\n"
            " ipv4 { import all; export none; };\n ipv6 { import all; export none; };\n}\n"
        )


def _kernel(version: int) -> str:
    return (
        f"protocol kernel {{\n merge paths limit {ECMP_WAYS};\n"
        f" ipv{version} {{ import none; export where source = RTS_BGP; }};\n}}\n"
    )


def _bfd(milliseconds: int, multiplier: int) -> str:
    timers = f"interval {milliseconds} ms; multiplier {multiplier};"
    return f'protocol bfd {{\n interface "eth0" {{ {timers} }};\n}}\n'


# --- its answers


def _asked(path: Path, command: str) -> str:
    """The protocol of BIRD's control socket: lines begin with a code; a code and a space is the last of an answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ASK_SECONDS)
        connection.connect(str(path))
        reader = connection.makefile("r")
        _answer(reader)
        connection.sendall(f"{command}\n".encode())
        return "\n".join(_answer(reader))


def _answer(lines: "Iterator[str]") -> list[str]:
    answer: list[str] = []
    for line in lines:
        is_coded = line[:4].isdigit()
        answer.append(line[5:].rstrip("\n") if is_coded else line[1:].rstrip("\n"))
        if is_coded and line[4] == " ":
            return answer
    raise ConnectionError("BIRD ended the connection")


def _node(protocol: str) -> str:
    return protocol.removesuffix(OVER_IPV6)


def _listed(answer: str) -> Iterator[tuple[str, str]]:
    """Node and prefix of each route of a node; a second route to the same prefix leaves the prefix out."""
    prefix = ""
    for line in answer.splitlines():
        if line[:1].isalnum() and "/" in line:
            prefix = line.split()[0]
        if found := _ROUTE.match(line):
            yield found["node"], prefix


def _received(answer: str) -> Iterator[tuple[str, str, Received]]:
    blocks: list[tuple[str, str, dict[str, str]]] = []
    prefix = ""
    for line in answer.splitlines():
        if line[:1].isalnum() and "/" in line:
            prefix = line.split()[0]
        if "[" in line and not line.startswith("\t"):
            found = _ROUTE.match(line)
            blocks.append((found["node"] if found else "", prefix, {}))
        elif blocks:
            name, _, value = line.strip().partition(": ")
            blocks[-1][2][name] = value
    return ((node, prefix, _attributes(values)) for node, prefix, values in blocks if node)


def _attributes(values: dict[str, str]) -> Received:
    as_path, confed_sequence = path_in(values.get("BGP.as_path", ""))
    return Received(
        next_hop=values.get("BGP.next_hop", "").split(" ")[0],
        as_path=as_path,
        confed_sequence=confed_sequence,
        communities=frozenset((int(a), int(b)) for a, b in _PAIR.findall(values.get("BGP.community", ""))),
        large_communities=frozenset(
            (int(a), int(b), int(c)) for a, b, c in _TRIPLE.findall(values.get("BGP.large_community", ""))
        ),
        local_pref=int(values["BGP.local_pref"]) if "BGP.local_pref" in values else None,
        med=int(values["BGP.med"]) if "BGP.med" in values else None,
        link_bandwidth=_bandwidth(values.get("BGP.ext_community", "")),
    )


def _bandwidth(communities: str) -> float | None:
    for kind, value in _UNKNOWN.findall(communities):
        if int(kind, 16) in LINK_BANDWIDTH:
            bandwidth: float = struct.unpack(">f", int(value).to_bytes(4, "big"))[0]
            return bandwidth
    return None


def route_event_of(line: str) -> RouteEvent | None:
    """What a line of its log says of a node's route, if it does."""
    found = _EVENT.match(line)
    if found is None:
        return None
    at = datetime.fromisoformat(found["at"]).timestamp()
    return RouteEvent(at, found["node"], found["prefix"], removed=found["change"] == "removed")
