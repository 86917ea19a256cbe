"""Follows the machine's network interfaces by rtnetlink, and keeps ports open on each one that may and can be used.

It knows nothing of addresses. It calls its owner when neighbours behind an interface have to hear of us anew.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from speaker.wire import netlink
from speaker.wire.messages import Interface
from speaker.wire.neighbours import table as responders
from speaker.wire.neighbours.arp import mac_text
from speaker.wire.neighbours.filter import ETH_P_ARP, ETH_P_IPV6, PROGRAMS
from speaker.wire.neighbours.io.port import Counters, Port
from speaker.wire.neighbours.table import interface
from speaker.wire.part import Poll

DATAGRAM_BYTES = 64 * 1024
# Of a report to the agent: a node has hundreds of veths of its pods, none of which matters.
REPORTED_INTERFACES = 64
_PREFIXES = ((ETH_P_ARP, ""), (ETH_P_IPV6, "ndp_"))


class Attachment(NamedTuple):
    """The ports of one interface in use."""

    arp: Port
    ndp: Port

    def port(self, protocol: int) -> Port:
        return self.arp if protocol == ETH_P_ARP else self.ndp


class Ports:
    """The open ports, by file descriptor and by interface name, and the links they stand on."""

    def __init__(
        self,
        poll: Poll,
        is_excluded: Callable[[str], object],
        on_frames: Callable[[Port], None],
        on_open: Callable[[str, int], None],
        on_close: Callable[[str], None],
    ) -> None:
        """`on_frames` gets a port that has something to read.

        `on_open` gets the name and index of an interface that came into use, changed its MAC, or has its frames take
        another way into the network (bonds, flaps); `on_close` the name of one that no longer is in use. These two must
        not use this object.
        """
        self.by_fd: dict[int, Port] = {}
        self.by_name: dict[str, Attachment] = {}
        self.own_macs: frozenset[bytes] = frozenset()
        self.counters: dict[str, dict[int, Counters]] = {}
        """By interface name and protocol; they survive the port."""
        self.has_news = False
        """Whether `described` may have changed since this was last set to False. Never set before all is known."""
        self._poll = poll
        self._on_frames = on_frames
        self._is_excluded = is_excluded
        self._programs = {protocol: program([]) for protocol, program in PROGRAMS.items()}
        self._on_open = on_open
        self._on_close = on_close
        self._links: dict[int, netlink.Link] = {}
        self._dumped: set[int] | None = None  # links seen by the dump under way
        self._attachments: list[Attachment] = []
        self._allowed: frozenset[str] = frozenset()
        self._open_failures: dict[int, str] = {}
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._socket.bind((0, netlink.GROUP_LINK))  # before the dump, so that no change falls between
        self.fd = self._socket.fileno()
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

    def filter(self, protocol: int, program: bytes) -> None:
        """Let other frames of a protocol through, on all ports, those of the future too."""
        self._programs[protocol] = program
        for port in self.by_fd.values():
            if port.protocol == protocol:
                port.filter(program)

    def marks(self) -> list[tuple[Port, int]]:
        """What was sent so far, for `have_sent_out`."""
        return [(port, port.sent) for port in self.by_fd.values()]

    def have_sent_out(self, marks: list[tuple[Port, int]]) -> bool:
        """Whether no frame sent before the marks is left in the kernel. A port closed meanwhile has none."""
        return all(self.by_fd.get(port.fd) is not port or port.has_sent_out(mark) for port, mark in marks)

    def indexes(self) -> dict[str, int]:
        """The index of each interface in use, by name."""
        return {name: attachment.arp.ifindex for name, attachment in self.by_name.items()}

    def attached(self) -> dict[str, tuple[int, responders.Interface]]:
        """The index of each interface in use, and what responders need to know of it, by name."""
        return {name: (one.arp.ifindex, one.arp.interface) for name, one in self.by_name.items()}

    def totals(self) -> dict[str, dict[str, int]]:
        """By interface name: ARP's counters, and NDP's with `ndp_` before their names."""
        for port in self.by_fd.values():
            port.count_drops()
        return {
            name: {
                prefix + key: total for protocol, prefix in _PREFIXES for key, total in of[protocol].totals().items()
            }
            for name, of in self.counters.items()
        }

    @property
    def is_known(self) -> bool:
        """Whether all links have been told."""
        return self._dumped is None

    def usable(self) -> dict[int, str]:
        """The name of each interface that can be used, by index; as many as are `described`."""
        usable = sorted(link.ifindex for link in self._links.values() if not self._why_not(link))
        return {ifindex: self._links[ifindex].name for ifindex in usable[:REPORTED_INTERFACES]}

    def described(self) -> tuple[Interface, ...]:
        """Every interface and why it is not usable, the usable ones first; cut off where it gets long."""
        links = [self._describe(link) for link in self._links.values()]
        links.sort(key=lambda link: (not link.usable, link.ifindex))
        return tuple(links[:REPORTED_INTERFACES])

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
            self._on_link(message.link, message.has_moved)
        elif isinstance(message, netlink.LinkGone):
            self._on_gone(message.ifindex)
        elif isinstance(message, netlink.DumpDone):
            self._on_dumped(message.interrupted)
        else:
            raise OSError(message.errno, os.strerror(message.errno), "rtnetlink")

    def _on_link(self, link: netlink.Link, has_moved: bool) -> None:
        """A carrier that went and came between two reports leaves a trace in its count alone."""
        if self._dumped is not None:
            self._dumped.add(link.ifindex)
        known = self._links.get(link.ifindex)
        if known == link and not has_moved:
            return
        has_flapped = known is not None and known.carrier_changes != link.carrier_changes
        self._links[link.ifindex] = link
        self._open_failures.pop(link.ifindex, None)
        self.own_macs = frozenset(link.mac for link in self._links.values())
        self._fit(link, has_moved=has_moved or has_flapped)
        self.has_news = self._dumped is None

    def _on_gone(self, ifindex: int) -> None:
        if self._links.pop(ifindex, None) is None:
            return
        self._open_failures.pop(ifindex, None)
        attachment = self._on_index(ifindex)
        if attachment is not None:
            self._close(attachment)
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

    def _fit(self, link: netlink.Link, *, has_moved: bool = False) -> None:
        """Open, close or change the ports of this link, whatever it needs to be as it should.

        `has_moved`: switches have to learn anew where its MAC is, also if nothing else has changed.
        """
        attachment = self._on_index(link.ifindex)
        is_wanted = link.name in self._allowed and not netlink.why_not_usable(link, self._is_excluded)
        if attachment is not None and not (is_wanted and attachment.arp.interface.name == link.name):
            self._close(attachment)
            attachment = None
        if attachment is None and is_wanted:
            self._open(link)
        elif attachment is not None and (has_moved or attachment.arp.interface.mac != link.mac):
            attachment.arp.interface = attachment.ndp.interface = interface(link.name, link.mac)
            self._on_open(link.name, link.ifindex)

    def _on_index(self, ifindex: int) -> Attachment | None:
        return next((one for one in self._attachments if one.arp.ifindex == ifindex), None)

    def _open(self, link: netlink.Link) -> None:
        counters = self.counters.setdefault(link.name, {protocol: Counters() for protocol in PROGRAMS})
        opened: list[Port] = []
        try:
            for protocol in (ETH_P_ARP, ETH_P_IPV6):
                its = interface(link.name, link.mac)
                opened.append(Port(link.ifindex, its, protocol, self._programs[protocol], counters[protocol]))
        except OSError as error:
            for port in opened:
                port.close()
            self._open_failures[link.ifindex] = f"CannotOpen: {_why_not_opened(error)}"
            return
        attachment = self.by_name[link.name] = Attachment(*opened)
        self._attachments.append(attachment)
        for port in attachment:
            self.by_fd[port.fd] = port
            self._poll.add(port.fd, partial(self._on_frames, port))
        self._on_open(link.name, link.ifindex)

    def _close(self, attachment: Attachment) -> None:
        self._attachments.remove(attachment)
        for port in attachment:
            port.count_drops()
            self._poll.remove(port.fd)
            del self.by_fd[port.fd]
            port.close()
        name = attachment.arp.interface.name
        if self.by_name.get(name) is attachment:  # else a new interface took over the name already
            del self.by_name[name]
            self._on_close(name)

    def _describe(self, link: netlink.Link) -> Interface:
        reason = self._why_not(link)
        return Interface(link.name, link.ifindex, mac_text(link.mac), netlink.is_up(link), not reason, reason)

    def _why_not(self, link: netlink.Link) -> str:
        return netlink.why_not_usable(link, self._is_excluded) or self._open_failures.get(link.ifindex, "")


def _why_not_opened(error: OSError) -> str:
    if error.errno == errno.EPERM:
        return "the speaker lacks the capability NET_RAW, which the DaemonSet asks for: does a policy take it away?"
    return error.strerror or str(error)
