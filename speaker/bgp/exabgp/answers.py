"""What a router answers to ROUTE-REFRESH, told in words as its messages are read (RFC 2918, RFC 7313). Pure.

Runs in ExaBGP's process, on each message that comes, and reads no more of it than it needs. The words are events
(speaker.bgp.exabgp.events): that a question goes, that its answer begins or ends, and that the answer is too large to
be asked for again.
"""

from __future__ import annotations

from collections.abc import Callable

MAX_ANSWER_OCTETS = 1 << 16
"""A router that answers with more than this is asked no more in that session."""
COUNT_SECONDS = 10.0
"""UPDATEs after that are no answer any more."""
NAMES = {(1, 1): "ipv4", (2, 1): "ipv6"}
"""Of the families, by AFI and SAFI (RFC 4760 §3)."""
_UPDATE, _ROUTE_REFRESH = 2, 5  # RFC 4271 §4.1, RFC 2918 §3
_MP_REACH_NLRI, _MP_UNREACH_NLRI = 14, 15  # RFC 4760 §3, §4
_EXTENDED_LENGTH = 0x10  # RFC 4271 §4.3
_WORDS = {1: "refreshed", 2: "refreshed-all"}  # RFC 7313 §3.2


class Answers:
    """Of one connection. `tell`: takes each event. `now`: monotonic seconds."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._octets = dict.fromkeys(NAMES.values(), 0)
        """Of the routes of each family that came together last."""
        self._counts_until = 0.0

    def begin(self, name: str, now: float) -> None:
        """A ROUTE-REFRESH of that family is sent now."""
        self._octets[name], self._counts_until = 0, now + COUNT_SECONDS
        self._tell(f"refreshing {name}")

    def take(self, kind: int, body: bytes, now: float) -> bool:
        """A message came: its type and what follows its header. Whether that is not for ExaBGP."""
        if kind == _UPDATE:
            if name := end_of_rib_name(body):
                self._octets[name] = 0
                self._tell(f"end-of-rib {name}")
            elif now < self._counts_until:
                self._count(family_name(body), len(body))
        elif kind == _ROUTE_REFRESH and len(body) == 4 and body[2] in _WORDS:
            if name := NAMES.get((body[0] << 8 | body[1], body[3])):
                self._octets[name] = 0
                self._tell(f"{_WORDS[body[2]]} {name}")
            return True
        return False

    def _count(self, name: str, octets: int) -> None:
        """Each family for itself: the routes of one may come while another is asked for."""
        before = self._octets.get(name, 0)
        self._octets[name] = before + octets
        if before <= MAX_ANSWER_OCTETS < before + octets:
            self._tell(f"costly {name}")


def end_of_rib_name(body: bytes) -> str | None:
    """The family whose End-of-RIB that UPDATE is (RFC 4724 §2), if it is one."""
    if body == bytes(4):
        return "ipv4"
    if len(body) in (10, 11) and body[:2] == bytes(2) and body[5] == _MP_UNREACH_NLRI:  # and nothing in it
        return NAMES.get((body[-3] << 8 | body[-2], body[-1]))
    return None


def family_name(body: bytes) -> str:
    """The family that an UPDATE is about: of its MP_REACH_NLRI or MP_UNREACH_NLRI, else IPv4. "" for one that is never
    asked for, or what can't be read."""
    at = 2 + int.from_bytes(body[:2])
    end = at + 2 + int.from_bytes(body[at : at + 2])
    at += 2
    while at + 3 < min(end, len(body)):
        value = at + (4 if body[at] & _EXTENDED_LENGTH else 3)
        if body[at + 1] in (_MP_REACH_NLRI, _MP_UNREACH_NLRI):
            afi, safi = int.from_bytes(body[value : value + 2]), body[value + 2 : value + 3]
            return NAMES.get((afi, safi[0] if safi else 0), "")
        at = value + int.from_bytes(body[at + 2 : value])
    return "ipv4"
