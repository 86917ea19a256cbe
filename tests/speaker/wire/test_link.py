"""The agent's end, against a peer that this test plays, and against the real process."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from speaker.wire.bfd.model import SessionConfig, SessionView
from speaker.wire.io import link as link_module
from speaker.wire.io.link import (
    ANNOUNCE_ENTRIES_PER_ORDER,
    MAX_MESSAGE_BYTES,
    OrderRefusedError,
    WireCallbacks,
    WireConflict,
    WireDiedError,
    WireLink,
    WireStalledError,
)


class FakeProcess:
    """Has ended, with status 0, as soon as anybody waits for it."""

    pid = 1

    async def wait(self) -> int:
        return 0


class Peer:
    """The wire's end of the socket."""

    def __init__(self) -> None:
        self.orders: list[dict] = []
        self.sizes: list[int] = []

    def attach(self, link: WireLink) -> None:
        """Stand in for the process that `start` would have started."""
        link._loop = asyncio.get_running_loop()
        link._socket, self.socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link._socket.setblocking(False)
        self.socket.setblocking(False)
        link._process = FakeProcess()
        link._loop.add_reader(link._socket, link._on_readable)

    def tell(self, **message) -> None:
        self.socket.send(json.dumps(message).encode())

    async def read(self) -> dict:
        packet = await asyncio.get_running_loop().sock_recv(self.socket, MAX_MESSAGE_BYTES + 1)
        self.sizes.append(len(packet))
        self.orders.append(json.loads(packet))
        return self.orders[-1]

    async def confirm_all(self) -> None:
        while True:
            order = await self.read()
            self.tell(op="done", seq=order["seq"])


@pytest.fixture
def peer():
    made = Peer()
    yield made
    made.socket.close()


def linked(peer: Peer, callbacks: WireCallbacks | None = None, **settings) -> WireLink:
    link = WireLink(callbacks or WireCallbacks(), **settings)
    peer.attach(link)
    return link


async def ended(link: WireLink, peer: Peer) -> None:
    peer.socket.close()
    await link.stop()


async def beside(peer: Peer, work) -> None:
    """Do the work while the peer confirms everything."""
    confirming = asyncio.create_task(peer.confirm_all())
    try:
        async with asyncio.timeout(5):
            await work
    finally:
        confirming.cancel()


def many(count: int, interfaces: list[str]) -> list[tuple[str, list[str]]]:
    return [(f"10.0.{number // 256}.{number % 256}", interfaces) for number in range(count)]


@pytest.mark.asyncio
async def test_announcements_go_in_orders_of_64_and_all_are_waited_for(peer):
    link = linked(peer)
    await beside(peer, link.announce(many(1000, ["eth0"])))
    assert [len(order["entries"]) for order in peer.orders] == [64] * 15 + [40]
    assert [entry for order in peer.orders for entry in order["entries"]] == [
        [address, names] for address, names in many(1000, ["eth0"])
    ]
    await ended(link, peer)


@pytest.mark.asyncio
async def test_an_order_too_large_for_a_packet_is_split(peer):
    link = linked(peer)
    names = [f"interface{number:05}" for number in range(100)]
    await beside(peer, link.announce(many(100, names)))
    assert max(peer.sizes) <= MAX_MESSAGE_BYTES
    assert sum(len(order["entries"]) for order in peer.orders) == 100
    assert len(peer.orders) > 100 / ANNOUNCE_ENTRIES_PER_ORDER
    await ended(link, peer)


@pytest.mark.asyncio
async def test_withdraw_returns_only_when_confirmed(peer):
    link = linked(peer)
    withdrawing = asyncio.create_task(link.withdraw(["192.0.2.10"]))
    order = await peer.read()
    await asyncio.sleep(0.02)
    assert not withdrawing.done()
    peer.tell(op="done", seq=order["seq"])
    await withdrawing
    assert order["op"] == "withdraw"
    await ended(link, peer)


@pytest.mark.asyncio
async def test_a_peer_that_does_not_read_blocks_nothing_but_its_caller(peer):
    """The socket fills up; a permit still goes first once there is room."""
    link = linked(peer)
    announcing = asyncio.create_task(link.announce(many(5000, ["a" * 15] * 20)))
    await asyncio.sleep(0.05)
    assert not announcing.done()
    backlog = len(link._outbox)
    assert backlog
    link.permit(1.0)
    link.permit(2.0)
    await beside(peer, announcing)
    permits = [place for place, order in enumerate(peer.orders) if order["op"] == "permit"]
    assert [peer.orders[place]["until"] for place in permits] == [2.0]  # the first was never written
    assert len(peer.orders) - permits[0] > backlog
    await ended(link, peer)


@pytest.mark.asyncio
async def test_a_refused_order_raises_after_all_others_were_carried_out(peer):
    link = linked(peer)
    announcing = asyncio.create_task(link.announce(many(130, ["eth0"])))
    orders = [await peer.read() for _ in range(3)]
    peer.tell(op="error", seq=orders[0]["seq"], message="no such family")
    await asyncio.sleep(0.02)
    assert not announcing.done()
    for order in orders[1:]:
        peer.tell(op="done", seq=order["seq"])
    with pytest.raises(OrderRefusedError, match="no such family"):
        await announcing
    await ended(link, peer)


@pytest.mark.asyncio
async def test_without_confirmation_it_gives_up_after_the_time_out(peer):
    link = linked(peer, confirm_timeout_seconds=0.05)
    with pytest.raises(WireStalledError):
        await link.announce(many(1, ["eth0"]))
    await ended(link, peer)


@pytest.mark.asyncio
async def test_the_death_of_the_wire_ends_every_wait(peer):
    link = linked(peer)
    waiting = [
        asyncio.create_task(link.announce(many(500, ["eth0"]))),
        asyncio.create_task(link.withdraw(["10.0.0.1"])),
    ]
    await peer.read()
    peer.socket.close()
    for one in waiting:
        with pytest.raises(WireDiedError):
            await one
    assert link.dead.is_set()
    assert await link.wait_dead() == 0
    with pytest.raises(WireDiedError):
        await link.announce(many(1, ["eth0"]))
    link.permit(1.0)  # too late, and no harm
    await ended(link, peer)


@pytest.mark.asyncio
async def test_a_cancelled_caller_leaves_the_link_in_order(peer):
    link = linked(peer)
    announcing = asyncio.create_task(link.announce(many(500, ["eth0"])))
    first = await peer.read()
    announcing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await announcing
    peer.tell(op="done", seq=first["seq"])
    await beside(peer, link.withdraw(["10.0.0.1"]))
    await ended(link, peer)


@pytest.mark.asyncio
async def test_reports_reach_their_callbacks(peer):
    heard = []
    link = linked(peer, WireCallbacks(heard.append, heard.append, heard.append))
    eth0 = {"name": "eth0", "index": 2, "mac": "02:00:00:00:00:01", "up": True, "usable": True, "reason": ""}
    peer.tell(op="interfaces", interfaces=[eth0])
    peer.tell(op="conflict", address="192.0.2.10", interface="eth0", mac="02:00:00:00:00:02")
    told = {"interfaces": {"eth0": {"replies": 3}}, "addresses": {"192.0.2.10": 3}}
    peer.tell(op="counters", **told, heartbeats={"sent": 1}, bfd={"sent": 2})
    await asyncio.sleep(0.02)
    assert heard[0][0].name == "eth0"
    assert link.interfaces == heard[0]
    assert heard[1] == WireConflict("192.0.2.10", "eth0", "02:00:00:00:00:02")
    assert heard[2].addresses == {"192.0.2.10": 3}
    await ended(link, peer)


@pytest.mark.asyncio
async def test_bfd_sessions_go_in_parts_that_fit_and_come_back_as_views(peer):
    heard = []
    link = linked(peer, WireCallbacks(on_bfd=heard.append))
    confirming = asyncio.create_task(peer.confirm_all())
    wanted = {f"{number:0>200}": SessionConfig(f"192.0.2.{number}", interface="eth0") for number in range(200)}
    await link.bfd(wanted)
    assert [order["part"] for order in peer.orders] == list(range(peer.orders[0]["parts"]))
    assert max(peer.sizes) <= MAX_MESSAGE_BYTES
    told = {name: SessionConfig(*fields) for order in peer.orders for name, fields in order["sessions"].items()}
    assert told == wanted
    await link.bfd({})
    assert (peer.orders[-1]["parts"], peer.orders[-1]["sessions"]) == (1, {})
    up = ["Up", "Up", 12.5, False, "", 900, 300, ""]
    peer.tell(op="bfd-state", sessions={"a": up, "b": up})
    peer.tell(op="bfd-state", sessions={"a": None})
    await asyncio.sleep(0.02)
    assert heard == [{"a": SessionView(*up), "b": SessionView(*up)}, {"b": SessionView(*up)}]
    assert link.bfd_sessions == heard[-1]
    confirming.cancel()
    await ended(link, peer)


@pytest.mark.lab
class TestRealProcess:
    @pytest.mark.asyncio
    async def test_it_starts_reports_interfaces_and_stops(self):
        link = WireLink(WireCallbacks())
        await link.start(exclude_interfaces=".*")
        assert "lo" in {interface.name for interface in link.interfaces}
        assert not any(interface.usable for interface in link.interfaces)
        await link.use_interfaces([])
        link.permit(time.clock_gettime(time.CLOCK_BOOTTIME) + 1)
        await link.announce(many(5000, ["nowhere"]))
        await link.withdraw(address for address, _ in many(5000, []))
        await link.stop()
        assert await link.wait_dead() == 0
        await link.stop()

    @pytest.mark.asyncio
    async def test_its_death_is_noticed(self):
        link = WireLink(WireCallbacks())
        await link.start()
        os.kill(link.pid, signal.SIGKILL)
        async with asyncio.timeout(2):
            assert await link.wait_dead() == -signal.SIGKILL
        await link.stop()

    @pytest.mark.asyncio
    async def test_a_stuck_wire_shows_in_the_permits_it_does_not_confirm(self):
        link = WireLink(WireCallbacks(), confirm_timeout_seconds=0.1)
        await link.start()
        os.kill(link.pid, signal.SIGSTOP)
        try:
            before = link.last_heard
            link.permit(1.0)
            with pytest.raises(WireStalledError):
                await link.announce(many(1, []))
            assert link.last_heard == before
        finally:
            os.kill(link.pid, signal.SIGCONT)
        await link.stop()

    @pytest.mark.asyncio
    async def test_a_wire_that_does_not_stop_is_killed(self, monkeypatch):
        monkeypatch.setattr(link_module, "STOP_TIMEOUT_SECONDS", 0.1)
        link = WireLink(WireCallbacks(), confirm_timeout_seconds=0.1)
        await link.start()
        os.kill(link.pid, signal.SIGSTOP)
        await link.stop()
        assert await link.wait_dead() == -signal.SIGKILL
        assert link.dead.is_set()

    def test_the_wire_imports_nothing_heavy(self):
        """Each of these costs memory or time, or needs what is not there without `site`."""
        code = link_module.BOOTSTRAP.partition("sys.exit")[0] + "print(*sys.modules)"
        command = [sys.executable, "-I", "-S", "-c", code, str(link_module.PACKAGE_ROOT)]
        imported = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
        assert "speaker.wire.io.loop" in imported
        assert not imported & {
            "asyncio",
            "dataclasses",
            "ipaddress",
            "kubernetes",
            "logging",
            "msgspec",
            "pydantic",
            "scapy",
        }
