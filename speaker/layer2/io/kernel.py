"""Reads which of the addresses that are announced the node's own kernel has, and for which it answers ARP: see
speaker.layer2.held.

It is no business of the wire process, which would wait for it: with kube-proxy in IPVS mode a kernel has thousands.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

import structlog

from speaker.layer2.held import Held, addresses_in
from speaker.wire import netlink

CHECK_SECONDS = 30.0
"""How often it is looked at though nothing happened: nothing tells that a setting was changed."""
LOOK_SECONDS = 5.0
"""How often it is looked whether other addresses are announced."""
SETTLE_SECONDS = 1.0
"""How long news of addresses is collected, at least, ..."""
BUSY_SHARE = 0.01
"""... and so long that reading takes no more than this of the time."""
ANSWER_SECONDS = 5.0
DATAGRAM_BYTES = 64 * 1024
SETTINGS = Path("/proc/sys/net/ipv4/conf")

_GROUPS = 0x10 | 0x100  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR

log = structlog.get_logger()


def read_held(wanted: Collection[str]) -> Held:
    """Of these addresses, of this network namespace, now. Blocks: 10,000 addresses take 25 ms. Raises OSError."""
    packed = {_packed(address): address for address in wanted}
    if not packed:
        return Held({}, {})
    names = dict(socket.if_nameindex())
    found: dict[str, set[str]] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
        asking.settimeout(ANSWER_SECONDS)
        asking.send(netlink.addresses_request(1))
        is_over = False
        while not is_over:
            seen, is_over = addresses_in(asking.recv(DATAGRAM_BYTES), packed)
            for address, index in seen:
                if index in names:
                    found.setdefault(packed[address], set()).add(names[index])
    everywhere = _arp_ignore("all")
    ignored = {name: max(everywhere, _arp_ignore(name)) for name in names.values()} if found else {}
    return Held({address: tuple(sorted(has)) for address, has in found.items()}, ignored)


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _arp_ignore(interface: str) -> int:
    """The kernel takes the larger one of an interface's own and that of all. 0 for one that is gone."""
    with contextlib.suppress(OSError, ValueError):
        return int((SETTINGS / interface / "arp_ignore").read_text())
    return 0


async def follow_held(served: Callable[[], frozenset[str]], tell: Callable[[Held], None]) -> None:
    """Look again and again, until cancelled. `served`: the addresses that matter."""
    clock = asyncio.get_running_loop().time
    while True:
        began, took = clock(), 0.0
        try:
            with contextlib.closing(_news()) as news:  # before the look, so that no change falls between
                wanted = served()
                tell(await asyncio.to_thread(read_held, wanted))
                took = clock() - began
                await _wait(news, partial(_differ, served, wanted))
        except OSError as error:
            log.debug("the kernel's addresses can't be read", error=str(error))
        await asyncio.sleep(min(SETTLE_SECONDS + took / BUSY_SHARE, CHECK_SECONDS))


def _differ(served: Callable[[], frozenset[str]], wanted: frozenset[str]) -> bool:
    return served() != wanted


def _news() -> socket.socket:
    """What becomes readable when any address of the kernel changes. Nobody reads it: that there is news is enough."""
    news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    news.bind((0, _GROUPS))
    return news


async def _wait(news: socket.socket, is_other: Callable[[], bool]) -> None:
    """Until there is news, or other addresses matter, or for CHECK_SECONDS."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(news, readable.set)
    try:
        until = loop.time() + CHECK_SECONDS
        while loop.time() < until and not is_other():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(readable.wait(), LOOK_SECONDS)
                return
    finally:
        loop.remove_reader(news)
