"""Puts a program at an interface's ingress, beside those of others, and takes it away.

    kernel 6.6 and later   tcx, by a link: before all others; gone with the last holder of its descriptor
    5.8 and later          a filter at clsact: stays behind a process that is killed, see remove_leftovers

Either way nobody's program is replaced, and what ours has no answer for goes on to the next one. Messages and the place
of ours among them are in filters.py, what refusals mean in refusal.py.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from speaker.wire import netlink
from speaker.wire.neighbours.bpf import filters
from speaker.wire.neighbours.bpf.filters import EGRESS, INGRESS, Filter
from speaker.wire.neighbours.bpf.io.calls import BpfError, attributes, bpf
from speaker.wire.neighbours.bpf.io.rights import rights
from speaker.wire.neighbours.bpf.refusal import Tried, sentence

# linux/bpf.h: enum bpf_cmd, bpf_attach_type; flags of an attachment
_OBJECT_INFO, _LINK_CREATE = 15, 28
_TCX_INGRESS = 46
_BEFORE = 1 << 3  # BPF_F_BEFORE, of no one in particular: before all
_LINK = struct.Struct("=IIIIQQ")  # program, interface, attach type, flags, relative to what, expected revision
_INFO = struct.Struct("=IIQ")  # descriptor, room, where to
_LINK_INFO = struct.Struct("=III4xII")  # struct bpf_link_info: type, id, program's id; interface, attach type

ANSWER_SECONDS = 1.0
"""The kernel answers while it is asked: that it takes longer is not seen in practice."""
DATAGRAM_BYTES = 64 * 1024
ATTEMPTS = 3
"""Somebody else may add a filter between our look and our own."""


class AttachError(Exception):
    """The program was not attached. The message says which step was refused, why, and what to do."""

    def __init__(self, message: str, error: int) -> None:
        super().__init__(message)
        self.errno = error


class TcxLink:
    """A program held at an interface by a link. `how` is `tcx`."""

    how = "tcx"

    def __init__(self, descriptor: int, interface: int) -> None:
        self._descriptor = descriptor
        self._interface = interface

    def is_in_place(self) -> bool:
        """Whether it still meets the interface's frames: not after that went, also where another has its index now."""
        if self._descriptor < 0:
            return False
        info = attributes(bytes(_LINK_INFO.size))
        asked = attributes(_INFO.pack(self._descriptor, len(info), ctypes.addressof(info)))
        try:
            bpf(_OBJECT_INFO, asked, "ask for a link")
        except BpfError:
            return False
        *_, interface, _ = _LINK_INFO.unpack(info.raw)
        return bool(interface == self._interface)

    def close(self) -> None:
        """Take the program away. Closing twice, or after the interface went, is no error."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class ClsactFilter:
    """A program at clsact. `how` is `clsact`."""

    how = "clsact"

    def __init__(self, own: Filter, interface: int) -> None:
        self._own: Filter | None = own
        self._interface = interface

    def is_in_place(self) -> bool:
        """Whether it meets the interface's frames before all that it could stand before. False: close it, and attach
        anew. Others may remove it, or come to stand before it; that is told by looking alone."""
        if self._own is None:
            return False
        try:
            with _rtnetlink() as kernel:
                return filters.is_in_place(kernel.filters(self._interface, INGRESS), self._own)
        except OSError:
            return False

    def close(self) -> None:
        """Take the program away, and clsact if that was made for it and nothing else is on it. Closing twice, or after
        the interface went, is no error."""
        own, self._own = self._own, None
        if own is not None:
            with suppress(OSError), _rtnetlink() as kernel:
                kernel.remove(self._interface, own)


Attachment = TcxLink | ClsactFilter


def attach(program: int, interface: int) -> Attachment:
    """Have a program (the descriptor of one of BPF_PROG_TYPE_SCHED_CLS) see all frames that come in by an interface,
    by its index. The program may be closed afterwards. Raises AttachError: then nothing was changed."""
    try:
        return attach_tcx(program, interface)
    except AttachError as error:
        if error.errno == errno.ENODEV:
            raise
        refused = error
    try:
        return attach_clsact(program, interface)
    except AttachError as error:
        raise AttachError(f"{error}; before that {refused}", error.errno) from None


def attach_tcx(program: int, interface: int) -> TcxLink:
    """By a link. Raises AttachError."""
    packed = _LINK.pack(program, interface, _TCX_INGRESS, _BEFORE, 0, 0)
    try:
        return TcxLink(bpf(_LINK_CREATE, attributes(packed), "attach a program"), interface)
    except BpfError as error:
        raise _refusal(Tried.LINK, error.errno) from None


def attach_clsact(program: int, interface: int) -> ClsactFilter:
    """By a filter. Raises AttachError."""
    try:
        with _rtnetlink() as kernel:
            error = kernel.order(filters.clsact_request(1, interface))
            if error not in (0, errno.EEXIST):
                raise _refusal(Tried.QDISC, error)
            name = filters.NAME if error else filters.NAME_WITH_CLSACT
            return ClsactFilter(kernel.add(interface, program, name), interface)
    except OSError as error:
        raise _refusal(Tried.FILTER, error.errno) from None


def remove_leftovers(interface: int) -> int:
    """Take away what killed processes of ours left at clsact, and nobody else's; how many there were.

    Not while this process, or another speaker on this machine, has a filter there: it would go, too.
    Raises AttachError.
    """
    try:
        with _rtnetlink() as kernel:
            ours = [one for one in kernel.filters(interface, INGRESS) if one.is_ours]
            for one in ours:
                kernel.remove(interface, one)
            return len(ours)
    except OSError as error:
        raise _refusal(Tried.FILTER, error.errno) from None


def remove_all_leftovers() -> None:
    """The same at every interface, also those that are not used any more, as far as the kernel lets us."""
    for interface, _ in socket.if_nameindex():
        with suppress(AttachError):
            remove_leftovers(interface)


class _Rtnetlink:
    """Asks and orders. Raises OSError: the kernel gave no answer, or refused to list."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened

    def order(self, request: bytes) -> int:
        """0, or the errno of the kernel's refusal."""
        self._socket.send(request)
        for kind, _, body in self._answers():
            if (error := netlink.error_of(kind, body)) is not None:
                return error
        raise OSError(errno.EPROTO, "no answer")

    def filters(self, interface: int, parent: int) -> list[Filter]:
        """As they are met."""
        for _ in range(ATTEMPTS):
            self._socket.send(filters.filters_request(1, interface, parent))
            found, is_whole = list[Filter](), True
            for kind, flags, body in self._answers():
                is_whole &= not netlink.is_interrupted(flags)
                if error := netlink.error_of(kind, body):
                    raise OSError(error, "list filters")
                if (one := filters.filter_of(kind, body)) is not None:
                    found.append(one)
            if is_whole:
                return found
        raise OSError(errno.EBUSY, "filters change too often to be listed")

    def add(self, interface: int, program: int, name: str) -> Filter:
        """A filter of ours with this name. Raises AttachError: then it left nothing behind."""
        own = Filter(0, 0, 0, "", name)
        for _ in range(ATTEMPTS):
            try:
                own = filters.place(self.filters(interface, INGRESS), name)
            except LookupError:
                error = errno.ENOSPC
            else:
                error = self.order(filters.add_request(1, interface, own, program))
            if not error:
                return own
            if error not in (errno.EEXIST, errno.EINVAL):
                break
        self._remove_clsact(interface, own)
        raise _refusal(Tried.FILTER, error)

    def remove(self, interface: int, own: Filter) -> None:
        """Whether it is there or not."""
        self.order(filters.delete_request(1, interface, own))
        self._remove_clsact(interface, own)

    def _remove_clsact(self, interface: int, own: Filter) -> None:
        """Where it was made for this filter, and nothing is on it."""
        if own.name == filters.NAME_WITH_CLSACT and not any(
            one.handle for parent in (INGRESS, EGRESS) for one in self.filters(interface, parent)
        ):
            self.order(filters.delete_clsact_request(1, interface))

    def _answers(self) -> Iterator[tuple[int, int, bytes]]:
        """Type, flags and body of what the kernel says, to the end."""
        while True:
            datagram, sender = self._socket.recvfrom(DATAGRAM_BYTES)
            if sender[0] != 0:  # from another process
                continue
            for kind, flags, _, body in netlink.messages(datagram):
                yield kind, flags, body
                if netlink.is_end(kind):
                    return


@contextmanager
def _rtnetlink() -> Iterator[_Rtnetlink]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as opened:
        opened.settimeout(ANSWER_SECONDS)
        opened.bind((0, 0))
        yield _Rtnetlink(opened)


def _refusal(tried: Tried, error: int | None) -> AttachError:
    error = error or errno.EIO
    return AttachError(sentence(tried, error, rights()), error)
