"""This machine's interfaces, for `berth arping`: where an address is, and from which address and MAC to ask there.

The kernel is asked for each: its routes over netlink (RTM_GETROUTE, linux/rtnetlink.h), the rest by ioctl(2) and /proc.
"""

import errno
import fcntl
import os
import socket
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from cli.frames import Question, link_local
from crds.addresses import IPAddress
from speaker.wire import netlink

_SIOCGIFADDR, _SIOCGIFHWADDR = 0x8915, 0x8927
_REQUEST = struct.Struct("16s24x")  # struct ifreq
_NAME_BYTES = 15
_LOOPBACK_TYPE = 772  # ARPHRD_LOOPBACK
_LINK_SCOPE = "20"  # in /proc/net/if_inet6

_NETLINK_ROUTE = 0
_NEW_ROUTE, _GET_ROUTE = 24, 26
_DESTINATION, _INTERFACE, _GATEWAY, _SOURCE, _VIA = 1, 4, 5, 7, 18  # RTA_*
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, destination and source length, TOS, table, protocol, scope, type, flags
_NUMBER = struct.Struct("=I")
_ANSWER_SECONDS = 5.0


class NoWay(OSError):
    """The address is on no segment of this machine."""


def question(address: IPAddress, interface: str | None, *, is_probe: bool) -> Question:
    """Who has the address? On `interface`; None = where the address is routed.

    Raises OSError: no such interface, or no way to the address.
    """
    name, source = (interface, None) if interface else _route(address)
    socket.if_nametoindex(name)
    mac = _mac(name)
    if is_probe:
        return Question(address, name, mac, type(address)(0))
    return Question(address, name, mac, source or _source(address, name, mac))


def _route(address: IPAddress) -> tuple[str, IPAddress | None]:
    """Where the kernel would send to it, and from which address. Raises NoWay when that is not a segment."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    body = _ROUTE.pack(family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    body += netlink.attribute(_DESTINATION, address.packed)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE) as kernel:
        kernel.settimeout(_ANSWER_SECONDS)
        kernel.sendall(netlink.request(_GET_ROUTE, 0, 1, body))
        kind, _, _, answer = next(netlink.messages(kernel.recv(1 << 16)))
    if kind != _NEW_ROUTE:
        raise _no_way(address)  # "network is unreachable", or no other answer
    found = dict(netlink.attributes(answer[_ROUTE.size :]))
    name = socket.if_indextoname(_NUMBER.unpack(found[_INTERFACE])[0])
    if _GATEWAY in found or _VIA in found or _is_loopback(name):
        raise _no_way(address)
    return name, ip_address(found[_SOURCE]) if _SOURCE in found else None


def _no_way(address: IPAddress) -> NoWay:
    return NoWay(f"{address} is not on a segment of this machine: say with --interface where to ask")


def _source(address: IPAddress, name: str, mac: bytes) -> IPAddress:
    """An address to ask from on that interface. NDP: link-local; where IPv6 has none, the one that fits the MAC."""
    if address.version == 4:
        return _ipv4(name)
    rows = (line.split() for line in Path("/proc/net/if_inet6").read_text().splitlines())
    found = [text for text, _, _, scope, _, interface in rows if interface == name and scope == _LINK_SCOPE]
    return IPv6Address(bytes.fromhex(found[0])) if found else link_local(mac)


def _ipv4(name: str) -> IPv4Address:
    """Its first address; 0.0.0.0 when it has none."""
    try:
        return IPv4Address(_ask(_SIOCGIFADDR, name)[20:24])
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        return IPv4Address(0)


def _mac(name: str) -> bytes:
    return _ask(_SIOCGIFHWADDR, name)[18:24]


def _is_loopback(name: str) -> bool:
    (kind,) = struct.unpack_from("=H", _ask(_SIOCGIFHWADDR, name), 16)
    return bool(kind == _LOOPBACK_TYPE)


def _ask(number: int, name: str) -> bytes:
    """An ioctl about an interface: 16 bytes of its name, then what was asked for, a struct sockaddr."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        return fcntl.ioctl(any_socket, number, _REQUEST.pack(os.fsencode(name)[:_NAME_BYTES]))
