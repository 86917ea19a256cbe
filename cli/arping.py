"""`berth arping`: which machines on the segment answer for an address, by ARP (RFC 826) or NDP (RFC 4861).

Asks as a client would, or as a host does before it takes an address (`--probe`: RFC 5227 §2.1.1, RFC 4862 §5.4.2), and
asks again by itself where several answer. What the answers mean is in cli.answers.
"""

import argparse
import math
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, ip_address
from pathlib import Path

from cli.answers import Answers, Meaning, Owner, describe
from cli.frames import Question, answerer
from cli.interfaces import question
from crds.addresses import IPAddress
from speaker.wire.neighbours.arp import mac_text

ONE, NOBODY, SEVERAL, NOT_ASKED, OWN = 0, 1, 2, 3, 4
_CODES = {
    Meaning.NOBODY: NOBODY,
    Meaning.ONE: ONE,
    Meaning.HANDED_OVER: ONE,
    Meaning.INTERFACES: OWN,
    Meaning.NODES: OWN,
    Meaning.ALIKE: OWN,
    Meaning.STRANGER: SEVERAL,
    Meaning.UNKNOWN: SEVERAL,
}
EXIT_CODES = """\
exit codes: 0 = one machine answers (also when it was handed over meanwhile), 1 = nobody does, 2 = a stranger answers,
too, or it is not known whose the answers are (or wrong usage), 3 = could not ask, 4 = nodes of the cluster answer
beside the owner, or several interfaces of one machine do
"""
DESCRIPTION = """\
Ask who has an IP address on the segment, and print each answer with its MAC, the time it took, and the node whose
interface that is. Where several answer it asks again by itself, for some seconds, and says what it is: a hand-over from
one node to another, several interfaces of one machine, kernels of nodes that answer beside the owner (kube-proxy in
IPVS mode), or a machine that is no node of the cluster.
"""

ETH_P_ARP, ETH_P_IPV6 = 0x0806, 0x86DD
FRAME_BYTES = 2048
AGAIN_SECONDS = 10.0
"""For so long it asks again, at most, ..."""
LISTEN_AGAIN_SECONDS = 0.5
"""... and listens for so long after each question, at least."""
OTHERS_ASKED = 4
"""How many other addresses of these machines are asked for, to find out whether they have more in common."""


class CannotAsk(Exception):
    """The message says why, and what to do."""


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
            owners = _owners(options.kubeconfig)
            return _ask(segment, asking, options, owners)
    except CannotAsk as reason:
        print(f"berth: {reason}", file=sys.stderr)
        return NOT_ASKED
    except OSError as error:
        print(f"berth: can't ask on {options.interface or 'this machine'}: {error}", file=sys.stderr)
        return NOT_ASKED


def _ask(
    segment: socket.socket, asking: Question, options: argparse.Namespace, owners: Mapping[str, Owner] | None
) -> int:
    print(
        f"asking who has {asking.address} on {asking.interface}, as {asking.sender} at {mac_text(asking.mac)}",
        flush=True,
    )
    answers = Answers()
    for _ in range(options.count):
        _ask_once(segment, asking, options.timeout, answers, owners)
    until = time.monotonic() + AGAIN_SECONDS
    if answers.must_ask_again(time.monotonic()):
        print("several answer: asking again", flush=True)
    while answers.must_ask_again(time.monotonic()) and time.monotonic() < until:
        _ask_once(segment, asking, max(options.timeout, LISTEN_AGAIN_SECONDS), answers, owners)
    also = None
    if answers.meaning(owners) is Meaning.UNKNOWN:
        also = _address_of_all(segment, asking, answers.now_there)
    print(answers.verdict(asking.address, owners, also))
    return _CODES[answers.meaning(owners, also)]


def _ask_once(
    segment: socket.socket, asking: Question, timeout: float, answers: Answers, owners: Mapping[str, Owner] | None
) -> None:
    sent = time.monotonic()
    answers.begin(sent)
    segment.send(asking.frame)
    for mac, seconds in _answers(segment, asking, sent, timeout):
        answers.add(mac)
        print(f"{asking.address} is at {describe(mac, owners)}, {seconds * 1000:.2f} ms", flush=True)


def _address_of_all(segment: socket.socket, asking: Question, macs: list[str]) -> IPAddress | None:
    """Another address that all of these answer for, as no stranger would: by default Linux answers on each of its
    interfaces for all IPv4 addresses that it has. None where none is known."""
    if asking.address.version == 6:
        return None
    known = [address for address in _neighbours(asking.interface, macs) if address != asking.address]
    for address in known[:OTHERS_ASKED]:
        other, sent = replace(asking, address=address), time.monotonic()
        segment.send(other.frame)
        found = {mac for mac, _ in _answers(segment, other, sent, LISTEN_AGAIN_SECONDS)}
        if found.issuperset(macs):
            return address
    return None


def _neighbours(interface: str, macs: list[str]) -> list[IPv4Address]:
    """Addresses that this machine knows at one of these MACs, there (/proc/net/arp)."""
    try:
        rows = [line.split() for line in Path("/proc/net/arp").read_text().splitlines()[1:]]
    except OSError:
        return []
    return [IPv4Address(row[0]) for row in rows if len(row) == 6 and row[3] in macs and row[5] == interface]


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


def _owners(kubeconfig: str | None) -> Mapping[str, Owner] | None:
    """Whose MACs are nodes'. None when there is no cluster to ask, or it does not answer."""
    path = kubeconfig or _usual_kubeconfig()
    if path is None:
        return None
    from cli.owners import read_owners  # on use: a second of start-up that most runs need not pay

    return read_owners(path)


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
