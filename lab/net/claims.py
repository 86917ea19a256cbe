"""Which MAC claimed an address, and when: the ARP and NDP frames that lab/scripts/sniff.py recorded.

No I/O: reads the recorder's lines.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """A frame that tells its hearers that an address is at a MAC. `at` is monotonic seconds."""

    at: float
    mac: str


@dataclass(frozen=True)
class AnsweredRequest:
    """A request for an address, when it was sent (monotonic seconds), and the nodes that answered."""

    at: float
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class OwnershipSpan:
    """One node's frames for an address, with nobody else's in between."""

    node: str
    first: float
    last: float
    frames: int


def claims_of(lines: Iterable[str], address: str, *, since: float = 0.0) -> list[Claim]:
    """The frames that claim `address`, in order. A probe or question about it claims nothing."""
    rows = (json.loads(line) for line in lines if line.endswith("}"))
    return [
        Claim(row["at"], row["sender_mac"]) for row in rows if row.get("sender_ip") == address and row["at"] >= since
    ]


def answered_requests(lines: Iterable[str], nodes_by_mac: Mapping[str, str]) -> list[AnsweredRequest]:
    """What lab/scripts/ask.py printed. A MAC that is no node's stands for itself."""
    rows = (json.loads(line) for line in lines if line.endswith("}"))
    return [AnsweredRequest(row["at"], tuple(nodes_by_mac.get(mac, mac) for mac in row["answers"])) for row in rows]


def ownership_spans(claims: Iterable[Claim], nodes_by_mac: Mapping[str, str]) -> list[OwnershipSpan]:
    """The nodes that claimed the address, one after the other. A MAC that is no node's stands for itself."""
    spans: list[OwnershipSpan] = []
    for claim in claims:
        node = nodes_by_mac.get(claim.mac, claim.mac)
        if spans and spans[-1].node == node:
            last = spans.pop()
            spans.append(OwnershipSpan(node, last.first, claim.at, last.frames + 1))
        else:
            spans.append(OwnershipSpan(node, claim.at, claim.at, 1))
    return spans
