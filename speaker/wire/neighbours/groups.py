"""Which multicast groups a node must hear on which interface, so that it is asked for its IPv6 addresses.

No I/O: memberships.py carries out the changes. Neighbours ask for an address at its solicited-node group (RFC 4861
§7.2.2), which is shared by all addresses with the same last 24 bits; so users of a group are counted.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from speaker.wire.neighbours.ndp import solicited_node

# Network cards compare a frame with tens of multicast addresses exactly; given more, most let all of them through
# anyway. With more groups than this on an interface we ask for that ourselves.
MAX_GROUPS_BY_MAC = 256
# Linux looks through an interface's IPv6 groups one by one for each multicast frame that comes in: a few µs for 256
# groups, 15 to 50 for 1,000, 100 to 200 for 5,000 (measured over veth). Switches have room for about as many.
MAX_GROUPS_BY_MLD = 1024


class How(Enum):
    """The ways to be in a group."""

    MAC = "mac"
    """The network card lets the frames of its Ethernet address in."""
    ALL_MACS = "all"
    """The network card lets all multicast frames in. Without a group."""
    MLD = "mld"
    """The kernel is in the IPv6 group, and reports that by MLD."""


class Change(NamedTuple):
    """One step for an interface."""

    is_join: bool
    ifindex: int
    how: How
    group: bytes = b""


class _Open:
    """How the groups are heard on an interface that is in use."""

    def __init__(self, ifindex: int) -> None:
        self.ifindex = ifindex
        self.by_mac: set[bytes] = set()
        self.by_all: set[bytes] = set()
        self.by_mld: set[bytes] = set()
        self.unreported: dict[bytes, None] = {}  # in the order they came


class Groups:
    """Counts who needs a group; `take` hands out what has changed. An interface counts while it is in use."""

    def __init__(self) -> None:
        self._users: dict[str, dict[bytes, int]] = {}
        self._open: dict[str, _Open] = {}
        self._changes: list[Change] = []

    def hold(self, name: str, address: bytes) -> None:
        """Neighbours behind the interface may ask for this IPv6 address."""
        users, group = self._users.setdefault(name, {}), solicited_node(address)
        users[group] = users.get(group, 0) + 1
        if users[group] == 1 and name in self._open:
            self._join(self._open[name], group)

    def drop(self, name: str, address: bytes) -> None:
        """Undo one `hold`."""
        users, group = self._users[name], solicited_node(address)
        users[group] -= 1
        if users[group]:
            return
        del users[group]
        if name in self._open:
            self._leave(self._open[name], group)

    def open(self, name: str, ifindex: int) -> None:
        """The interface is in use from now on. Repeating it changes nothing."""
        if name in self._open and self._open[name].ifindex == ifindex:
            return
        self.close(name)
        opened = self._open[name] = _Open(ifindex)
        for group in self._users.get(name, {}):
            self._join(opened, group)

    def close(self, name: str) -> None:
        """The interface is no longer in use."""
        opened = self._open.pop(name, None)
        if opened is not None:
            opened.unreported.clear()
            for group in self._users.get(name, {}):
                self._leave(opened, group)

    def take(self) -> list[Change]:
        """The changes since the last call, in order."""
        changes, self._changes = self._changes, []
        return changes

    def _join(self, opened: _Open, group: bytes) -> None:
        if len(opened.by_mac) < MAX_GROUPS_BY_MAC:
            opened.by_mac.add(group)
            self._changes.append(Change(True, opened.ifindex, How.MAC, group))
        else:
            if not opened.by_all:
                self._changes.append(Change(True, opened.ifindex, How.ALL_MACS))
            opened.by_all.add(group)
        opened.unreported[group] = None
        self._report_more(opened)

    def _leave(self, opened: _Open, group: bytes) -> None:
        """All multicast frames are let in until the last group beyond the limit is gone."""
        if group in opened.by_mac:
            opened.by_mac.discard(group)
            self._changes.append(Change(False, opened.ifindex, How.MAC, group))
        else:
            opened.by_all.discard(group)
            if not opened.by_all:
                self._changes.append(Change(False, opened.ifindex, How.ALL_MACS))
        if group in opened.by_mld:
            opened.by_mld.discard(group)
            self._changes.append(Change(False, opened.ifindex, How.MLD, group))
        opened.unreported.pop(group, None)
        self._report_more(opened)

    def _report_more(self, opened: _Open) -> None:
        """As many as may be, first come, first served."""
        while opened.unreported and len(opened.by_mld) < MAX_GROUPS_BY_MLD:
            group = next(iter(opened.unreported))
            del opened.unreported[group]
            opened.by_mld.add(group)
            self._changes.append(Change(True, opened.ifindex, How.MLD, group))
