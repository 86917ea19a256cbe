"""The agent's end, against a peer that this test plays, and against the real process."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from speaker.wire.codec import MAX_MESSAGE_BYTES, encode
from speaker.wire.io import link as link_module
from speaker.wire.io.link import OrderRefusedError, WireDiedError, WireLink, WireStalledError
from speaker.wire.messages import (
    ENTRIES_PER_PACKET,
    AgeChanges,
    Ages,
    Bfd,
    BfdChanges,
    BfdSession,
    BfdState,
    BfdStates,
    Conflict,
    Counters,
    Done,
    Heartbeat,
    Interface,
    Interfaces,
    Member,
    MemberChanges,
    Members,
    Order,
    OwnState,
    Permit,
    Refused,
    UseInterfaces,
    WireReport,
    Withdraw,
    decode_order,
)
from tests.speaker.wire.orders import announce, withdraw


class FakeProcess:
    """Has ended, with status 0, as soon as anybody waits for it."""

    pid = 1

    async def wait(self) -> int:
        return 0


class Peer:
    """The wire's end of the socket."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.sizes: list[int] = []

    def attach(self, link: WireLink) -> None:
        """Stand in for the process that `start` would have started."""
        link._loop = asyncio.get_running_loop()
        link._socket, self.socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link._socket.setblocking(False)
        self.socket.setblocking(False)
        link._process = FakeProcess()
        link._loop.add_reader(link._socket, link._on_readable)

    def tell(self, report: WireReport, sequence: int = 0) -> None:
        self.socket.send(encode(report, sequence))

    async def read(self) -> int:
        """The sequence number of the next order, which is the last of `orders` then."""
        packet = await asyncio.get_running_loop().sock_recv(self.socket, MAX_MESSAGE_BYTES + 1)
        self.sizes.append(len(packet))
        sequence, order = decode_order(packet)
        self.orders.append(order)
        return sequence

    async def confirm_all(self) -> None:
        while True:
            self.tell(Done(), await self.read())


@pytest.fixture
def peer():
    made = Peer()
    yield made
    made.socket.close()


def linked(peer: Peer, on_report=lambda _: None, **settings) -> WireLink:
    link = WireLink(on_report, **settings)
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
    await beside(peer, link.carry_out(announce(many(1000, ["eth0"]))))
    assert [len(order.entries) for order in peer.orders] == [64] * 15 + [40]
    assert [entry for order in peer.orders for entry in order.entries] == [
        (address, tuple(names)) for address, names in many(1000, ["eth0"])
    ]
    await ended(link, peer)


@pytest.mark.asyncio
async def test_an_order_too_large_for_a_packet_is_split(peer):
    link = linked(peer)
    names = [f"interface{number:05}" for number in range(100)]
    await beside(peer, link.carry_out(announce(many(100, names))))
    assert max(peer.sizes) <= MAX_MESSAGE_BYTES
    assert sum(len(order.entries) for order in peer.orders) == 100
    assert len(peer.orders) > 100 / ENTRIES_PER_PACKET
    await ended(link, peer)


@pytest.mark.asyncio
async def test_withdraw_returns_only_when_confirmed(peer):
    link = linked(peer)
    withdrawing = asyncio.create_task(link.carry_out(withdraw(["192.0.2.10"])))
    sequence = await peer.read()
    await asyncio.sleep(0.02)
    assert not withdrawing.done()
    peer.tell(Done(), sequence)
    await withdrawing
    assert peer.orders == [Withdraw(("192.0.2.10",))]
    await ended(link, peer)


@pytest.mark.asyncio
async def test_a_peer_that_does_not_read_blocks_nothing_but_its_caller(peer):
    """The socket fills up; a permit and our own state still go first once there is room."""
    link = linked(peer)
    announcing = asyncio.create_task(link.carry_out(announce(many(5000, ["a" * 15] * 20))))
    await asyncio.sleep(0.05)
    assert not announcing.done()
    backlog = len(link._outbox)
    assert backlog
    link.send(Permit(1.0))
    link.send(OwnState(1.0, is_serving=True))
    link.send(OwnState(2.0, is_serving=True))
    link.send(Permit(2.0))
    await beside(peer, announcing)
    first = next(place for place, order in enumerate(peer.orders) if isinstance(order, Permit))
    urgent = [order for order in peer.orders if isinstance(order, Permit | OwnState)]
    assert urgent == [Permit(2.0), OwnState(2.0, is_serving=True)]  # the earlier ones were never written
    assert peer.orders[first : first + 2] == urgent
    assert len(peer.orders) - first - 1 > backlog
    await ended(link, peer)


@pytest.mark.asyncio
async def test_a_refused_order_raises_after_all_others_were_carried_out(peer):
    link = linked(peer)
    announcing = asyncio.create_task(link.carry_out(announce(many(130, ["eth0"]))))
    sequences = [await peer.read() for _ in range(3)]
    peer.tell(Refused("no such family"), sequences[0])
    await asyncio.sleep(0.02)
    assert not announcing.done()
    for sequence in sequences[1:]:
        peer.tell(Done(), sequence)
    with pytest.raises(OrderRefusedError, match="no such family"):
        await announcing
    await ended(link, peer)


@pytest.mark.asyncio
async def test_an_order_that_no_packet_can_carry_is_refused_and_the_next_one_is_carried_out(peer):
    link = linked(peer)
    order = Heartbeat("node-a", "one", members={"node-b": ("10.0.0.1",), "node-c": ("10.0.0.2",) * 3500})
    with pytest.raises(OrderRefusedError, match="longer than 32768 bytes"):
        await beside(peer, link.carry_out(order))
    await beside(peer, link.carry_out(Heartbeat("node-a", "one")))
    assert peer.orders[-1] == Heartbeat("node-a", "one")
    await ended(link, peer)


@pytest.mark.asyncio
async def test_without_confirmation_it_gives_up_after_the_time_out(peer):
    link = linked(peer, confirm_timeout_seconds=0.05)
    with pytest.raises(WireStalledError):
        await link.carry_out(announce(many(1, ["eth0"])))
    await ended(link, peer)


@pytest.mark.asyncio
async def test_the_death_of_the_wire_ends_every_wait(peer):
    link = linked(peer)
    waiting = [
        asyncio.create_task(link.carry_out(announce(many(500, ["eth0"])))),
        asyncio.create_task(link.carry_out(withdraw(["10.0.0.1"]))),
    ]
    await peer.read()
    peer.socket.close()
    for one in waiting:
        with pytest.raises(WireDiedError):
            await one
    assert link.dead.is_set()
    assert await link.wait_dead() == 0
    with pytest.raises(WireDiedError):
        await link.carry_out(announce(many(1, ["eth0"])))
    link.send(Permit(1.0))  # too late, and no harm
    await ended(link, peer)


@pytest.mark.asyncio
async def test_a_cancelled_caller_leaves_the_link_in_order(peer):
    link = linked(peer)
    announcing = asyncio.create_task(link.carry_out(announce(many(500, ["eth0"]))))
    first = await peer.read()
    announcing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await announcing
    peer.tell(Done(), first)
    await beside(peer, link.carry_out(withdraw(["10.0.0.1"])))
    await ended(link, peer)


@pytest.mark.asyncio
async def test_reports_reach_the_callback_as_they_are(peer):
    heard = []
    link = linked(peer, heard.append)
    told = [
        Interfaces((Interface("eth0", 2, "02:00:00:00:00:01", True, True, ""),)),
        Conflict("192.0.2.10", "eth0", "02:00:00:00:00:02"),
        Counters({"eth0": {"replies": 3}}, {"192.0.2.10": 3}, {"sent": 1}, {"sent": 2}),
    ]
    for report in told:
        peer.tell(report)
    await asyncio.sleep(0.02)
    assert heard == told
    assert link.interfaces == told[0].interfaces
    await ended(link, peer)


@pytest.mark.asyncio
async def test_what_changed_of_the_members_reaches_the_callback_as_all_of_them(peer):
    heard = []
    link = linked(peer, heard.append)
    here, there = Member("one", contact=1.0, heard=2.0), Member("two")
    peer.tell(MemberChanges({"a": here, "b": there}))
    peer.tell(AgeChanges({"a": (3.0, 4.0), "unknown": (3.0, 4.0)}))
    peer.tell(MemberChanges({"b": None}))
    await asyncio.sleep(0.02)
    later = Member("one", contact=3.0, heard=4.0)
    assert heard == [Members({"a": here, "b": there}), Ages({"a": later, "b": there}), Members({"a": later})]
    assert link.members == {"a": later}
    await ended(link, peer)


@pytest.mark.asyncio
async def test_bfd_sessions_go_in_parts_that_fit_and_come_back_as_states(peer):
    heard = []
    link = linked(peer, heard.append)
    confirming = asyncio.create_task(peer.confirm_all())
    wanted = {f"{number:0>200}": BfdSession(f"192.0.2.{number}", interface="eth0") for number in range(200)}
    await link.carry_out(Bfd(wanted))
    assert [order.is_first for order in peer.orders] == [True] + [False] * (len(peer.orders) - 1)
    assert [order.is_last for order in peer.orders] == [False] * (len(peer.orders) - 1) + [True]
    assert max(peer.sizes) <= MAX_MESSAGE_BYTES
    assert {name: session for order in peer.orders for name, session in order.sessions.items()} == wanted
    await link.carry_out(Bfd({}))
    assert peer.orders[-1] == Bfd({}, is_first=True, is_last=True)
    up = BfdState("Up", "Up", 12.5, False, "", 900, 300, "")
    peer.tell(BfdChanges({"a": up, "b": up}))
    peer.tell(BfdChanges({"a": None}))
    await asyncio.sleep(0.02)
    assert heard == [BfdStates({"a": up, "b": up}), BfdStates({"b": up})]
    assert link.bfd_sessions == {"b": up}
    confirming.cancel()
    await ended(link, peer)


@pytest.mark.lab
class TestRealProcess:
    @pytest.mark.asyncio
    async def test_it_starts_reports_interfaces_and_stops(self):
        link = WireLink(lambda _: None)
        await link.start(exclude_interfaces=".*")
        assert "lo" in {interface.name for interface in link.interfaces}
        assert not any(interface.usable for interface in link.interfaces)
        await link.carry_out(UseInterfaces(()))
        link.send(Permit(time.clock_gettime(time.CLOCK_BOOTTIME) + 1))
        await link.carry_out(announce(many(5000, ["nowhere"])))
        await link.carry_out(withdraw(address for address, _ in many(5000, [])))
        await link.stop()
        assert await link.wait_dead() == 0
        await link.stop()

    @pytest.mark.asyncio
    async def test_its_death_is_noticed(self):
        link = WireLink(lambda _: None)
        await link.start()
        os.kill(link.pid, signal.SIGKILL)
        async with asyncio.timeout(2):
            assert await link.wait_dead() == -signal.SIGKILL
        await link.stop()

    @pytest.mark.asyncio
    async def test_a_stuck_wire_shows_in_the_permits_it_does_not_confirm(self):
        link = WireLink(lambda _: None, confirm_timeout_seconds=0.1)
        await link.start()
        os.kill(link.pid, signal.SIGSTOP)
        try:
            before = link.last_heard
            link.send(Permit(1.0))
            with pytest.raises(WireStalledError):
                await link.carry_out(announce(many(1, [])))
            assert link.last_heard == before
        finally:
            os.kill(link.pid, signal.SIGCONT)
        await link.stop()

    @pytest.mark.asyncio
    async def test_a_wire_that_does_not_stop_is_killed(self, monkeypatch):
        monkeypatch.setattr(link_module, "STOP_TIMEOUT_SECONDS", 0.1)
        link = WireLink(lambda _: None, confirm_timeout_seconds=0.1)
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
