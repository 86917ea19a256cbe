"""Reads which IPv4 addresses the kernel has, and for which it answers ARP: see speaker.layer2.held."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

import structlog

from speaker.layer2.held import Held, addresses_in, dump_request
from speaker.wire import netlink

CHECK_SECONDS = 30.0
ANSWER_SECONDS = 5.0
DATAGRAM_BYTES = 64 * 1024
SETTINGS = Path("/proc/sys/net/ipv4/conf")

_DONE, _ERROR = 3, 2

log = structlog.get_logger()


def read_held() -> Held:
    """Of this network namespace, now. Blocks for milliseconds. Raises OSError."""
    names = dict(socket.if_nameindex())
    found: dict[str, str] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
        asking.settimeout(ANSWER_SECONDS)
        asking.send(dump_request(1))
        is_over = False
        while not is_over:
            datagram = asking.recv(DATAGRAM_BYTES)
            found |= {address: names[index] for address, index in addresses_in(datagram) if index in names}
            is_over = any(kind in (_DONE, _ERROR) for kind, *_ in netlink.messages(datagram))
    everywhere = _arp_ignore("all")
    return Held(found, {name: max(everywhere, _arp_ignore(name)) for name in names.values()})


def _arp_ignore(interface: str) -> int:
    """The kernel takes the larger one of an interface's own and that of all. 0 for one that is gone."""
    with contextlib.suppress(OSError, ValueError):
        return int((SETTINGS / interface / "arp_ignore").read_text())
    return 0


async def follow_held(tell: Callable[[Held], None]) -> None:
    """Look again and again, until cancelled."""
    while True:
        try:
            tell(await asyncio.to_thread(read_held))
        except OSError as error:
            log.debug("the kernel's addresses can't be read", error=str(error))
        await asyncio.sleep(CHECK_SECONDS)
