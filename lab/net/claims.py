"""Which MAC claimed an address, and when: the ARP and NDP frames that lab/scripts/sniff.py recorded.

No I/O: reads the recorder's lines.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace


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
    """One node's frames for an address, with nobody else's in between but a successor's."""

    node: str
    first: float
    last: float
    frames: int

    def extended(self, at: float) -> "OwnershipSpan":
        """With one more frame."""
        return replace(self, last=at, frames=self.frames + 1)


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


def ownership_spans(
    claims: Iterable[Claim], nodes_by_mac: Mapping[str, str], hand_over_seconds: float = 0.0
) -> list[OwnershipSpan]:
    """The nodes that claimed the address, one after the other. A MAC that is no node's stands for itself.

    `hand_over_seconds`: for so long after a successor's first frame the node before it may claim the address, too.
    """
    spans: list[OwnershipSpan] = []
    for claim in claims:
        node = nodes_by_mac.get(claim.mac, claim.mac)
        if spans and spans[-1].node == node:
            spans[-1] = spans[-1].extended(claim.at)
        elif len(spans) > 1 and spans[-2].node == node and claim.at - spans[-1].first <= hand_over_seconds:
            spans[-2] = spans[-2].extended(claim.at)
        else:
            spans.append(OwnershipSpan(node, claim.at, claim.at, 1))
    return spans
