"""`berth arping`: which machines on the segment answer for an address, by ARP (RFC 826) or NDP (RFC 4861).

Asks as a client would, or as a host does before it takes an address (`--probe`: RFC 5227 §2.1.1, RFC 4862 §5.4.2), and
says whose each answer is, as far as the Speakers tell.
"""

import argparse
import asyncio
import math
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from cli.frames import Question, answerer
from cli.interfaces import question
from crds.addresses import IPAddress
from kube.config.io.credentials import CredentialsError
from kube.errors import ApiError
from kube.io.client import Client
from kube.objects import decode_meta
from kube.resource import SPEAKERS
from speaker.cluster.objects import speaker_from
from speaker.wire.neighbours.arp import mac_text

ONE, NOBODY, SEVERAL, NOT_ASKED = 0, 1, 2, 3
EXIT_CODES = """\
exit codes: 0 = one machine answers, 1 = nobody does, 2 = several do (or wrong usage), 3 = could not ask
"""
DESCRIPTION = """\
Ask who has an IP address on the segment, and print each answer with its MAC, the time it took, and the node whose
speaker that is. More than one MAC means a conflict, or an address on its way from one node to another.
"""

ETH_P_ARP, ETH_P_IPV6 = 0x0806, 0x86DD
FRAME_BYTES = 2048
SPEAKERS_SECONDS = 5.0


class CannotAsk(Exception):
    """The message says why, and what to do."""


@dataclass
class Answers:
    """Round-trip times in seconds, by MAC, in the order of first answers."""

    by_mac: dict[str, list[float]] = field(default_factory=dict)

    def add(self, mac: str, seconds: float) -> None:
        self.by_mac.setdefault(mac, []).append(seconds)

    @property
    def exit_code(self) -> int:
        return (NOBODY, ONE)[len(self.by_mac)] if len(self.by_mac) < 2 else SEVERAL

    def verdict(self, address: IPAddress, asked: int, nodes: dict[str, str] | None) -> str:
        """One line. `nodes`: nodes with a speaker by MAC; None = not known."""
        if not self.by_mac:
            return f"nobody answers for {address} ({asked} asked)"
        who = [describe(mac, nodes) for mac in self.by_mac]
        answers = sum(len(times) for times in self.by_mac.values())
        if len(who) == 1:
            return f"{address} is at {who[0]} ({asked} asked, {answers} answered)"
        meaning = "a conflict: only one may have it"
        if nodes is not None and all(mac in nodes for mac in self.by_mac):
            meaning = "all are nodes of this cluster, so the address is on its way from one to another; ask again"
        return f"CONFLICT: {len(who)} machines answer for {address}: {', '.join(who)}: {meaning}"


def describe(mac: str, nodes: dict[str, str] | None) -> str:
    """The MAC and whose it is."""
    if nodes is None:
        return mac
    node = nodes.get(mac)
    return f"{mac} (the speaker of {node})" if node else f"{mac} (no speaker's)"


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put `arping` on the command line."""
    arping = commands.add_parser(
        "arping",
        help="who answers for an address on this segment",
        description=DESCRIPTION,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arping.add_argument("address", metavar="ADDRESS", type=_address, help="an IPv4 or IPv6 address")
    arping.add_argument("-I", "--interface", metavar="I", help="where to ask (default: where the address is routed)")
    arping.add_argument("-c", "--count", metavar="N", type=_count, default=3, help="how often (default: %(default)s)")
    arping.add_argument(
        "-w", "--timeout", metavar="S", type=_seconds, default=1.0, help="seconds to listen after each (default: 1)"
    )
    arping.add_argument(
        "--probe", action="store_true", help="ask without a sender address, as before taking the address"
    )
    arping.add_argument(
        "--kubeconfig", metavar="FILE", help="to tell whose a MAC is (default: $KUBECONFIG or ~/.kube/config, if there)"
    )
    arping.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """The command; gives its exit code."""
    try:
        asking = question(options.address, options.interface, is_probe=options.probe)
        with _open(asking) as segment:
            nodes = _nodes(options.kubeconfig)
            return _ask(segment, asking, options, nodes)
    except CannotAsk as reason:
        print(f"berth: {reason}", file=sys.stderr)
        return NOT_ASKED
    except OSError as error:
        print(f"berth: can't ask on {options.interface or 'this machine'}: {error}", file=sys.stderr)
        return NOT_ASKED


def _ask(segment: socket.socket, asking: Question, options: argparse.Namespace, nodes: dict[str, str] | None) -> int:
    print(
        f"asking who has {asking.address} on {asking.interface}, as {asking.sender} at {mac_text(asking.mac)}",
        flush=True,
    )
    answers = Answers()
    for _ in range(options.count):
        sent = time.monotonic()
        segment.send(asking.frame)
        for mac, seconds in _answers(segment, asking, sent, options.timeout):
            answers.add(mac, seconds)
            print(f"{asking.address} is at {describe(mac, nodes)}, {seconds * 1000:.2f} ms", flush=True)
    print(answers.verdict(asking.address, options.count, nodes))
    return answers.exit_code


def _answers(segment: socket.socket, asking: Question, sent: float, timeout: float) -> Iterator[tuple[str, float]]:
    while (left := sent + timeout - time.monotonic()) > 0:
        segment.settimeout(left)
        try:
            frame = segment.recv(FRAME_BYTES)
        except TimeoutError:
            return
        came = time.monotonic()
        mac = answerer(frame, asking)
        if mac is not None:
            yield mac_text(mac), came - sent


def _open(asking: Question) -> socket.socket:
    """Raises CannotAsk without the right to."""
    protocol = ETH_P_ARP if asking.address.version == 4 else ETH_P_IPV6
    try:
        segment = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except PermissionError:
        raise CannotAsk("raw sockets need CAP_NET_RAW: run as root, or in a pod that has that capability") from None
    segment.bind((asking.interface, protocol))
    return segment


def _nodes(kubeconfig: str | None) -> dict[str, str] | None:
    """Nodes by the MACs that their Speakers tell. None when there is no cluster to ask, or it does not answer."""
    path = kubeconfig or _usual_kubeconfig()
    if path is None:
        return None
    try:
        return asyncio.run(asyncio.wait_for(_read_speakers(path), SPEAKERS_SECONDS))
    except (ApiError, CredentialsError, TimeoutError) as error:
        print(f"berth: whose a MAC is can't be told: {error or 'no answer from the API server'}", file=sys.stderr)
        return None


async def _read_speakers(kubeconfig: str) -> dict[str, str]:
    async with await Client.connect(kubeconfig, user_agent="berth-arping") as client:
        items, _ = await client.list(SPEAKERS)
    return {mac: decode_meta(raw).metadata.name for raw in items for mac in speaker_from(raw).macs}


def _usual_kubeconfig() -> str | None:
    candidates = [*os.environ.get("KUBECONFIG", "").split(os.pathsep), str(Path.home() / ".kube" / "config")]
    return next((path for path in candidates if path and Path(path).is_file()), None)


def _address(text: str) -> IPAddress:
    try:
        address = ip_address(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IP address") from None
    if address.is_multicast or address.is_unspecified or address.is_loopback:
        raise argparse.ArgumentTypeError(f"nobody on a segment has {address}")
    return address


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError("a number from 1 to 10000")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError("a number of seconds above 0")
    return seconds
