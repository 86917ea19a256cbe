"""Which node owns an address: rendezvous hashing, computed on every node alike.

Does not decide which nodes are eligible (speaker.layer2.desired does), and keeps no state. The same nodes and address
give the same answer everywhere and always.

The weight of a node for an address is BLAKE2b-64 (RFC 7693) of the address in network byte order followed by the
node's name in UTF-8; the highest weight owns (Thaler and Ravishankar, "Using name-based mappings to increase hit
rates", 1998). So addresses spread evenly, and when a node leaves, only its own addresses move.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from ipaddress import ip_address


def weight(node: str, address: str) -> int:
    """The claim of a node on an address; higher wins. Spellings of one address weigh the same."""
    return int.from_bytes(blake2b(packed(address) + node.encode(), digest_size=8).digest(), "big")


def ranking(address: str, nodes: Iterable[str]) -> list[str]:
    """All nodes: the owner first, then each node that takes over when those before it are gone. Equal weights: by
    name."""
    return sorted(set(nodes), key=lambda node: (-weight(node, address), node))


def owner(address: str, nodes: Iterable[str]) -> str | None:
    """The first of `ranking` without sorting; None when there are no nodes."""
    return owner_of(packed(address), nodes)


def owner_of(address: bytes, nodes: Iterable[str]) -> str | None:
    """The same for an address in network byte order."""
    best, best_digest = None, b""
    for node in nodes:
        digest = blake2b(address + node.encode(), digest_size=8).digest()
        if best is None or digest > best_digest or (digest == best_digest and node < best):
            best, best_digest = node, digest
    return best


def outranks(node: str, other: str, address: str) -> bool:
    """Whether the first of the two owns the address if there are only these."""
    return owner(address, (node, other)) == node


def best_tier(nodes: Iterable[str], tiers: Mapping[str, int]) -> list[str]:
    """The nodes of the lowest tier; a node that is not in `tiers` has tier 0."""
    candidates = list(nodes)
    if not tiers:
        return candidates
    best = min((tiers.get(node, 0) for node in candidates), default=0)
    return [node for node in candidates if tiers.get(node, 0) == best]


@lru_cache(maxsize=1024)
def packed(address: str) -> bytes:
    """In network byte order."""
    return ip_address(address).packed
