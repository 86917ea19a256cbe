"""Follows the machine's network interfaces by rtnetlink, and keeps a port open on each one that may and can be used.

It knows nothing of addresses: whoever made it is told when neighbours behind an interface have to hear of us anew.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Sequence
from typing import Any

from speaker.l2 import netlink
from speaker.l2.packets import mac_text
from speaker.l2.port import Counters, Port
from speaker.l2.responder import interface

DATAGRAM_BYTES = 64 * 1024
# Interfaces told to the agent: a node has hundreds of veths of its pods, none of which matters.
REPORTED_INTERFACES = 64


class Ports:
    """The open ports, by file descriptor and by name, and the links they stand on."""

    def __init__(
        self, epoll: select.epoll, is_excluded: Callable[[str], object], program: bytes, on_open: Callable[[str], None]
    ) -> None:
        """`on_open` gets the interface's name when it came into use or changed its MAC. It must not use this object."""
        self.by_fd: dict[int, Port] = {}
        self.by_name: dict[str, Port] = {}
        self.own_macs: frozenset[bytes] = frozenset()
        self.counters: dict[str, Counters] = {}
        """By interface name; they survive the port."""
        self.has_news = False
        """Whether `described` may have changed since this was last set to False. Never set before all is known."""
        self._epoll = epoll
        self._is_excluded = is_excluded
        self._program = program
        self._on_open = on_open
        self._links: dict[int, netlink.Link] = {}
        self._dumped: set[int] | None = None  # links seen by the dump under way
        self._allowed: frozenset[str] = frozenset()
        self._open_failures: dict[int, str] = {}
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._socket.bind((0, netlink.GROUP_LINK))  # before the dump, so that no change falls between
        self.fd = self._socket.fileno()
        epoll.register(self.fd, select.EPOLLIN)
        self._dump()

    def allow(self, names: Sequence[str]) -> None:
        """Use these interfaces, as far as they exist and can be used, now and later, and no others."""
        self._allowed = frozenset(names)
        # What could not be opened is tried again when it is asked for, not when it no longer is: else an agent that
        # leaves out an unusable interface would hear that it is usable, ask for it again, and so on without end.
        for link in self._links.values():
            if link.name in self._allowed:
                self._open_failures.pop(link.ifindex, None)
            self._fit(link)
        self.has_news = self._dumped is None

    def filter(self, program: bytes) -> None:
        """Let other frames through, on all ports, those of the future too."""
        self._program = program
        for port in self.by_fd.values():
            port.filter(program)

    def marks(self) -> list[tuple[Port, int]]:
        """What was sent so far, for `have_sent_out`."""
        return [(port, port.sent) for port in self.by_fd.values()]

    def have_sent_out(self, marks: list[tuple[Port, int]]) -> bool:
        """Whether no frame sent before the marks is left in the kernel. A port closed meanwhile has none."""
        return all(self.by_fd.get(port.fd) is not port or port.has_sent_out(mark) for port, mark in marks)

    def indexes(self) -> dict[str, int]:
        """The index of each interface in use, by name."""
        return {name: port.ifindex for name, port in self.by_name.items()}

    def totals(self) -> dict[str, dict[str, int]]:
        for port in self.by_fd.values():
            port.count_drops()
        return {name: counters.totals() for name, counters in self.counters.items()}

    def described(self) -> list[dict[str, Any]]:
        """Every interface and why it is not usable, the usable ones first; cut off where it gets long."""
        links = [self._describe(link) for link in self._links.values()]
        links.sort(key=lambda link: (not link["usable"], link["index"]))
        return links[:REPORTED_INTERFACES]

    def on_readable(self) -> None:
        """Take in one datagram of the kernel's."""
        try:
            datagram, sender = self._socket.recvfrom(DATAGRAM_BYTES)
        except BlockingIOError:
            return
        except OSError:  # ENOBUFS: news was lost
            self._dump()
            return
        if sender[0] == 0:  # from the kernel, not from another process
            for message in netlink.parse(datagram):
                self._on_message(message)

    def close(self) -> None:
        for port in self.by_fd.values():
            port.close()
        self._socket.close()

    def _dump(self) -> None:
        self._dumped = set()
        self._socket.send(netlink.dump_request(sequence=1))

    def _on_message(self, message: netlink.Message) -> None:
        if isinstance(message, netlink.LinkChanged):
            self._on_link(message.link)
        elif isinstance(message, netlink.LinkGone):
            self._on_gone(message.ifindex)
        elif isinstance(message, netlink.DumpDone):
            self._on_dumped(message.interrupted)
        else:
            raise OSError(message.errno, os.strerror(message.errno), "rtnetlink")

    def _on_link(self, link: netlink.Link) -> None:
        if self._dumped is not None:
            self._dumped.add(link.ifindex)
        if self._links.get(link.ifindex) == link:
            return
        self._links[link.ifindex] = link
        self._open_failures.pop(link.ifindex, None)
        self.own_macs = frozenset(link.mac for link in self._links.values())
        self._fit(link)
        self.has_news = self._dumped is None

    def _on_gone(self, ifindex: int) -> None:
        if self._links.pop(ifindex, None) is None:
            return
        port = self._on_index(ifindex)
        if port is not None:
            self._close(port)
        self.own_macs = frozenset(link.mac for link in self._links.values())
        self.has_news = self._dumped is None

    def _on_dumped(self, interrupted: bool) -> None:
        seen, self._dumped = self._dumped or set(), None
        if interrupted:
            self._dump()
            return
        for ifindex in [ifindex for ifindex in self._links if ifindex not in seen]:
            self._on_gone(ifindex)
        self.has_news = True

    def _fit(self, link: netlink.Link) -> None:
        """Open, close or change the port of this link, whatever it needs to be as it should."""
        port = self._on_index(link.ifindex)
        is_wanted = link.name in self._allowed and not netlink.why_not_usable(link, self._is_excluded)
        if port is not None and not (is_wanted and port.interface.name == link.name):
            self._close(port)
            port = None
        if port is None and is_wanted:
            self._open(link)
        elif port is not None and port.interface.mac != link.mac:
            port.interface = interface(link.name, link.mac)
            self._on_open(link.name)

    def _on_index(self, ifindex: int) -> Port | None:
        return next((port for port in self.by_fd.values() if port.ifindex == ifindex), None)

    def _open(self, link: netlink.Link) -> None:
        counters = self.counters.setdefault(link.name, Counters())
        try:
            port = Port(link.ifindex, interface(link.name, link.mac), self._program, counters)
        except OSError as error:
            self._open_failures[link.ifindex] = f"CannotOpen: {error.strerror or error}"
            return
        self.by_fd[port.fd] = self.by_name[link.name] = port
        self._epoll.register(port.fd, select.EPOLLIN)
        self._on_open(link.name)

    def _close(self, port: Port) -> None:
        port.count_drops()
        self._epoll.unregister(port.fd)
        del self.by_fd[port.fd]
        if self.by_name.get(port.interface.name) is port:  # else a new interface took over the name already
            del self.by_name[port.interface.name]
        port.close()

    def _describe(self, link: netlink.Link) -> dict[str, Any]:
        reason = netlink.why_not_usable(link, self._is_excluded) or self._open_failures.get(link.ifindex, "")
        return {
            "name": link.name,
            "index": link.ifindex,
            "mac": mac_text(link.mac),
            "up": netlink.is_up(link),
            "usable": not reason,
            "reason": reason,
        }
