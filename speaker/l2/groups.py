"""Which multicast groups a node must hear on which interface, so that it is asked for its IPv6 addresses.

No I/O: memberships.py carries out the changes. Neighbours ask for an address at its solicited-node group (RFC 4861
§7.2.2), which is shared by all addresses with the same last 24 bits; so users of a group are counted.
"""

from __future__ import annotations

from typing import NamedTuple

from speaker.l2.ndp import solicited_node

# Network cards compare a frame with tens of multicast addresses exactly; given more, most let all of them through
# anyway. Past so many groups on an interface we ask for that ourselves, since the kernel searches a socket's addresses
# one by one.
MAX_GROUPS_BY_MAC = 256


class Change(NamedTuple):
    """One step for an interface. An empty `group`: all multicast frames."""

    is_join: bool
    ifindex: int
    group: bytes
    by_mac: bool
    """Also by its Ethernet address, which works without IPv6 on the interface."""


class _Open:
    """The groups heard on an interface that is in use."""

    def __init__(self, ifindex: int) -> None:
        self.ifindex = ifindex
        self.by_mac: set[bytes] = set()
        self.beyond: set[bytes] = set()


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
            for group in self._users.get(name, {}):
                self._leave(opened, group)

    def take(self) -> list[Change]:
        """The changes since the last call, in order."""
        changes, self._changes = self._changes, []
        return changes

    def _join(self, opened: _Open, group: bytes) -> None:
        by_mac = len(opened.by_mac) < MAX_GROUPS_BY_MAC
        if by_mac:
            opened.by_mac.add(group)
        else:
            if not opened.beyond:
                self._changes.append(Change(True, opened.ifindex, b"", True))
            opened.beyond.add(group)
        self._changes.append(Change(True, opened.ifindex, group, by_mac))

    def _leave(self, opened: _Open, group: bytes) -> None:
        """Those beyond the limit stay beyond: all multicast frames are heard until the last of them has left."""
        by_mac = group in opened.by_mac
        self._changes.append(Change(False, opened.ifindex, group, by_mac))
        if by_mac:
            opened.by_mac.discard(group)
            return
        opened.beyond.discard(group)
        if not opened.beyond:
            self._changes.append(Change(False, opened.ifindex, b"", True))
