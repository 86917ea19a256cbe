"""Follows which addresses the host's interfaces have, as far as BGP asks: see speaker.bgp.ownaddresses.

It reads them anew when the kernel tells of a change, and at times without one. Nothing is read while there is no peer.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable

import structlog

from speaker.bgp.ownaddresses import Reading
from speaker.bgp.surroundings import Addresses
from speaker.wire import netlink

CHECK_SECONDS = 60.0
"""How often they are read though nothing happened."""
SETTLE_SECONDS = 0.5
"""How long news is collected, at least, ..."""
BUSY_SHARE = 0.01
"""... and so long that reading takes no more than this of the time."""
ANSWER_SECONDS = 5.0
DATAGRAM_BYTES = 64 * 1024

_GROUPS = 0x10 | 0x100  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR

log = structlog.get_logger()


def read_addresses() -> Addresses:
    """Of this network namespace, now. Blocks: 10,000 addresses take some 50 ms. Raises OSError."""
    reading = Reading(dict(socket.if_nameindex()))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
        asking.settimeout(ANSWER_SECONDS)
        asking.send(netlink.addresses_request(1))
        while not reading.take(asking.recv(DATAGRAM_BYTES)):
            pass
    return reading.addresses()


async def follow_addresses(is_wanted: Callable[[], bool], tell: Callable[[Addresses], None]) -> None:
    """Tell them, and again when they are others, until cancelled. `is_wanted`: whether anybody asks."""
    clock = asyncio.get_running_loop().time
    told: Addresses | None = None
    while True:
        began, took = clock(), 0.0
        if is_wanted():
            try:
                with contextlib.closing(_news()) as news:  # before the look, so that no change falls between
                    found = await asyncio.to_thread(read_addresses)
                    took = clock() - began
                    if found != told:
                        told = found
                        tell(found)
                    await _readable(news)
            except OSError as error:
                log.debug("the host's addresses can't be read", error=str(error))
        await asyncio.sleep(min(SETTLE_SECONDS + took / BUSY_SHARE, CHECK_SECONDS))


def _news() -> socket.socket:
    """What becomes readable when any address changes. Nobody reads it: that there is news is enough."""
    news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    news.bind((0, _GROUPS))
    return news


async def _readable(news: socket.socket) -> None:
    """Wait for it, for CHECK_SECONDS at most."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(news, readable.set)
    try:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(readable.wait(), CHECK_SECONDS)
    finally:
        loop.remove_reader(news)
