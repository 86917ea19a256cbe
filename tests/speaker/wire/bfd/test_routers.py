"""BFD in the wire process against BIRD and FRR, each on a host of its own: what both ends see of each other's fate."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import contextmanager

import pytest

from lab.net.segment import Host, Namespace
from lab.routers.bfd import Bird, Frr, Router, are_installed
from speaker.wire.bfd.packets import State, build
from speaker.wire.messages import Bfd, BfdSession, BfdState, Permit
from tests.speaker.wire.bfd.make import packet
from tests.speaker.wire.conftest import Heard, boottime, wire_on
from tests.speaker.wire.conftest import segment as segment  # a fixture
from tests.speaker.wire.orders import announce

pytestmark = [
    pytest.mark.root,
    pytest.mark.lab,
    pytest.mark.alone,
    pytest.mark.skipif(not are_installed(), reason="bird2 and frr are not installed"),
]

NODE, ROUTER = "192.0.2.1", "192.0.2.2"
BIRD_TIMERS = "min rx interval 300 ms; min tx interval 300 ms; multiplier 3;"
BIRD_PEER = f'interface "eth0" {{ {BIRD_TIMERS} }}; neighbor {NODE} dev "eth0";'
FRR_PEER = (f"peer {NODE} interface eth0", "receive-interval 300", "transmit-interval 300", "no shutdown")
CONFIG = BfdSession(ROUTER, interface="eth0")
DETECTION = 0.9
# After a loss: the detection time and room for a busy machine. Before it: no earlier than the last packet allows.
LATEST, EARLIEST = DETECTION + 3, DETECTION - 0.35


@pytest.fixture(params=["bird", "frr"])
def router(request, segment, open_path):
    host = segment.hosts[1]
    made = Bird(host, open_path / "r", BIRD_PEER) if request.param == "bird" else Frr(host, open_path / "r", *FRR_PEER)
    with made:
        yield made


async def until(condition: Callable[[], object], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.005)


def state_of(link) -> str:
    return link.bfd_sessions["r"].state if "r" in link.bfd_sessions else ""


async def both_up(link, router: Router) -> BfdState:
    await until(lambda: state_of(link) == "Up" and router.is_up(NODE))
    await until(lambda: link.bfd_sessions["r"].remote_state == "Up")
    return link.bfd_sessions["r"]


def states(heard: Heard, name: str = "r") -> list[str]:
    """Each state that was reported, without repetitions."""
    seen = [views[name].state for views in heard.bfd if name in views]
    return [state for number, state in enumerate(seen) if number == 0 or seen[number - 1] != state]


@contextmanager
def impostor(host: Namespace, ttl: int, port: int = 3784):
    """A function that sends a "Down" as the router itself would."""
    with host.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
    with sender:
        yield lambda: sender.sendto(build(packet(State.DOWN, yours=0)), (NODE, port))


class TestSessions:
    @pytest.mark.asyncio
    async def test_both_come_up_with_the_timers_that_were_agreed(self, segment, router):
        async with wire_on(segment.hosts[0]) as (link, heard):
            await link.carry_out(Bfd({"r": CONFIG}))
            await both_up(link, router)
            await until(lambda: link.bfd_sessions["r"].detect_milliseconds == 900)
            view = link.bfd_sessions["r"]
            assert (view.transmit_milliseconds, view.has_failed, view.fault) == (300, False, "")
            if isinstance(router, Bird):
                await until(lambda: router.session(NODE) == ("Up", 0.3, 0.9))
            await asyncio.sleep(3)
            assert states(heard)[-1] == "Up"
            assert states(heard).count("Up") == 1

    @pytest.mark.asyncio
    async def test_our_death_is_noticed_within_the_detection_time(self, segment, router):
        async with wire_on(segment.hosts[0]) as (link, _):
            await link.carry_out(Bfd({"r": CONFIG}))
            await both_up(link, router)
            await asyncio.sleep(1)
            began = time.monotonic()
            os.kill(link.pid, signal.SIGKILL)
            await until(lambda: not router.is_up(NODE))
            assert EARLIEST < time.monotonic() - began < LATEST

    @pytest.mark.asyncio
    async def test_the_routers_death_is_noticed_within_the_detection_time(self, segment, router):
        async with wire_on(segment.hosts[0]) as (link, heard):
            await link.carry_out(Bfd({"r": CONFIG}))
            await both_up(link, router)
            reports = len(heard.counters)
            await heard.until(lambda: len(heard.counters) > reports, 12)  # nothing else wakes the wire for 5 s
            began = time.monotonic()
            router.kill()
            await heard.until(lambda: heard.bfd[-1]["r"].state == "Down", 20)
            assert EARLIEST < time.monotonic() - began < LATEST
            assert heard.bfd[-1]["r"].has_failed
            assert "nothing was heard" in heard.bfd[-1]["r"].reason

    @pytest.mark.asyncio
    async def test_a_cut_link_and_its_repair_are_noticed_by_both(self, segment, router):
        async with wire_on(segment.hosts[0]) as (link, _):
            await link.carry_out(Bfd({"r": CONFIG}))
            await both_up(link, router)
            segment.hub.run("ip", "link", "set", "port2", "nomaster")
            await until(lambda: link.bfd_sessions["r"].has_failed and not router.is_up(NODE))
            segment.hub.run("ip", "link", "set", "port2", "master", "br0")
            view = await both_up(link, router)
            assert not view.has_failed

    @pytest.mark.asyncio
    async def test_a_frozen_wire_is_dead_to_the_router_and_comes_back(self, segment, router):
        async with wire_on(segment.hosts[0]) as (link, _):
            await link.carry_out(Bfd({"r": CONFIG}))
            await both_up(link, router)
            os.kill(link.pid, signal.SIGSTOP)
            await until(lambda: not router.is_up(NODE))
            os.kill(link.pid, signal.SIGCONT)
            await both_up(link, router)

    @pytest.mark.asyncio
    async def test_a_session_that_is_not_wanted_any_more_ends_in_admin_down(self, segment, router):
        async with wire_on(segment.hosts[0]) as (link, _):
            await link.carry_out(Bfd({"r": CONFIG}))
            await both_up(link, router)
            began = time.monotonic()
            await link.carry_out(Bfd({}))
            await until(lambda: not router.is_up(NODE))
            assert time.monotonic() - began < DETECTION or os.getloadavg()[0] > 4
            await until(lambda: link.bfd_sessions == {})
            if isinstance(router, Frr):
                assert router.session(NODE)["remote-diagnostic"] == "administratively down"
            await link.carry_out(Bfd({"r": CONFIG}))
            await both_up(link, router)

    @pytest.mark.asyncio
    async def test_our_new_intervals_are_negotiated_while_it_is_up(self, segment, router):
        async with wire_on(segment.hosts[0]) as (link, heard):
            await link.carry_out(Bfd({"r": CONFIG}))
            await both_up(link, router)
            slower = CONFIG._replace(transmit_interval_milliseconds=500, receive_interval_milliseconds=600)
            await link.carry_out(Bfd({"r": slower._replace(detect_multiplier=4)}))
            await until(lambda: link.bfd_sessions["r"][5:7] == (1800, 500))
            if isinstance(router, Bird):
                await until(lambda: router.session(NODE) == ("Up", 0.6, 2.0))
            else:
                await until(lambda: router.session(NODE)["remote-transmit-interval"] == 500)
                assert router.session(NODE)["remote-detect-multiplier"] == 4
            await link.carry_out(Bfd({"r": CONFIG}))
            await until(lambda: link.bfd_sessions["r"][5:7] == (900, 300))
            await asyncio.sleep(2)
            assert states(heard).count("Down") <= 1  # as it began
            assert states(heard)[-1] == "Up"

    @pytest.mark.asyncio
    async def test_a_passive_session_waits_for_the_router(self, segment, router):
        async with wire_on(segment.hosts[0]) as (link, _):
            await link.carry_out(Bfd({"r": CONFIG._replace(is_passive=True)}))
            await both_up(link, router)


class TestRights:
    """Without a permit this node may not announce, so routers must not believe in its routes."""

    @pytest.mark.asyncio
    async def test_nothing_comes_up_before_there_is_a_permit(self, segment, router):
        async with wire_on(segment.hosts[0], permit_seconds=0) as (link, _):
            await link.carry_out(Bfd({"r": CONFIG}))
            await asyncio.sleep(4)
            assert link.bfd_sessions["r"].state == "Down"
            assert not router.is_up(NODE)
            link.send(Permit(boottime() + 60))
            await both_up(link, router)

    @pytest.mark.asyncio
    async def test_a_permit_that_runs_out_takes_sessions_down_at_once(self, segment, router):
        """And not with the next packet, which would be 10 s away."""
        async with wire_on(segment.hosts[0], permit_seconds=60) as (link, heard):
            await link.carry_out(Bfd({"r": CONFIG._replace(transmit_interval_milliseconds=10_000)}))
            await both_up(link, router)
            await until(lambda: link.bfd_sessions["r"].transmit_milliseconds == 10_000)
            ends_at = boottime() + 0.5
            link.send(Permit(ends_at))
            await heard.until(lambda: heard.bfd[-1]["r"].state == "Down")
            assert 0 <= heard.bfd[-1]["r"].since - ends_at < 3
            assert not heard.bfd[-1]["r"].has_failed
            await until(lambda: not router.is_up(NODE), 4)
            if isinstance(router, Frr):
                assert router.session(NODE)["remote-diagnostic"] == "path down"
            link.send(Permit(boottime() + 60))
            await both_up(link, router)

    @pytest.mark.asyncio
    async def test_a_clean_stop_says_admin_down(self, segment, router):
        async with wire_on(segment.hosts[0]) as (link, _):
            await link.carry_out(Bfd({"r": CONFIG}))
            await both_up(link, router)
            await link.stop()
            await until(lambda: not router.is_up(NODE))
            if isinstance(router, Frr):
                assert router.session(NODE)["remote-diagnostic"] == "administratively down"


class TestFrr:
    @pytest.fixture
    def frr(self, segment, open_path):
        with Frr(segment.hosts[1], open_path / "r", *FRR_PEER) as made:
            yield made

    @pytest.mark.asyncio
    async def test_a_router_that_disables_its_session_has_not_failed(self, segment, frr):
        async with wire_on(segment.hosts[0]) as (link, heard):
            await link.carry_out(Bfd({"r": CONFIG}))
            await both_up(link, frr)
            frr.configure(FRR_PEER[0], "shutdown")
            await heard.until(lambda: heard.bfd[-1]["r"].remote_state == "AdminDown")
            assert heard.bfd[-1]["r"].state == "Down"
            await asyncio.sleep(2)
            assert not any(views["r"].has_failed for views in heard.bfd if "r" in views)
            frr.configure(FRR_PEER[0], "no shutdown")
            await both_up(link, frr)

    @pytest.mark.asyncio
    async def test_the_routers_new_intervals_are_negotiated_while_it_is_up(self, segment, frr):
        async with wire_on(segment.hosts[0]) as (link, heard):
            await link.carry_out(Bfd({"r": CONFIG}))
            await both_up(link, frr)
            frr.configure(FRR_PEER[0], "transmit-interval 700", "receive-interval 800", "detect-multiplier 5")
            await until(lambda: link.bfd_sessions["r"][5:7] == (3500, 800))
            assert states(heard)[-1] == "Up"
            assert states(heard).count("Up") == 1


class TestPackets:
    @pytest.fixture
    def bird(self, segment, tmp_path):
        with Bird(segment.hosts[1], tmp_path / "r", BIRD_PEER) as made:
            yield made

    @pytest.mark.asyncio
    async def test_a_packet_that_a_router_forwarded_does_not_count(self, segment, bird):
        """RFC 5881 §5. With TTL 255 the same packet ends the session, so it is the TTL that saves it."""
        async with wire_on(segment.hosts[0]) as (link, heard):
            await link.carry_out(Bfd({"r": CONFIG}))
            await both_up(link, bird)
            with impostor(segment.hosts[1], 254) as send:
                for _ in range(20):
                    send()
            await heard.until(lambda: heard.counters and heard.counters[-1].bfd.get("ttl") == 20, 12)
            assert states(heard)[-1] == "Up"
            assert states(heard).count("Up") == 1
            with impostor(segment.hosts[1], 255) as send:
                send()
            await heard.until(lambda: states(heard).count("Down") + states(heard).count("Init") > 1)

    @pytest.mark.asyncio
    async def test_ours_have_ttl_255_and_a_source_port_of_the_range(self, segment):
        node, router, _ = segment.hosts
        with router.entered():
            listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            listener.setsockopt(socket.IPPROTO_IP, 12, 1)  # IP_RECVTTL
            listener.bind(("", 3784))
        with listener:
            listener.settimeout(5)
            async with wire_on(node) as (link, _):
                await link.carry_out(Bfd({"r": CONFIG}))
                got = [await asyncio.to_thread(listener.recvmsg, 100, 100) for _ in range(2)]
        ports = {address[1] for _, _, _, address in got}
        assert len(ports) == 1
        assert 49152 <= ports.pop() <= 65535
        assert {int.from_bytes(ancillary[0][2], "little") for _, ancillary, _, _ in got} == {255}

    @pytest.mark.asyncio
    async def test_junk_and_floods_disturb_neither_sessions_nor_arp(self, segment, bird):
        node, router, client = segment.hosts
        async with wire_on(node) as (link, heard):
            await link.carry_out(announce([("192.0.10.10", ["eth0"])]))
            await link.carry_out(Bfd({"r": CONFIG}))
            await both_up(link, bird)
            with impostor(router, 254) as send:
                for _ in range(20_000):
                    send()
            await asyncio.to_thread(client.run, "arping", "-c1", "-w2", "-I", "eth0", "192.0.10.10")
            await asyncio.sleep(2)
            assert states(heard)[-1] == "Up"
            assert states(heard).count("Up") == 1


class TestPaths:
    @pytest.mark.asyncio
    async def test_ipv6_link_local(self, segment, tmp_path):
        node, router, _ = segment.hosts
        for host in (node, router):
            host.use_ipv6()
            host.run("ip", "address", "add", f"fe80::{host.number}/64", "dev", "eth0", "nodad")
        protocol = f'interface "eth0" {{ {BIRD_TIMERS} }}; neighbor fe80::1 dev "eth0" local fe80::2;'
        with Bird(router, tmp_path / "r", protocol) as bird:
            async with wire_on(node) as (link, _):
                config = BfdSession("fe80::2", interface="eth0", source_address="fe80::1")
                await link.carry_out(Bfd({"r": config}))
                await until(lambda: state_of(link) == "Up" and bird.is_up("fe80::1"))

    @pytest.mark.asyncio
    async def test_multihop_through_a_router_in_between(self, segment, tmp_path):
        """BIRD sends these with the kernel's TTL of 64, FRR with 255; one hop takes one of it."""
        with behind(segment.hosts[1]) as far:
            segment.hosts[0].run("ip", "route", "add", "198.51.100.0/24", "via", ROUTER)
            protocol = f"multihop {{ {BIRD_TIMERS} }}; neighbor {NODE} local 198.51.100.2 multihop;"
            config = BfdSession("198.51.100.2", is_multihop=True, minimum_ttl=63)
            with Bird(far, tmp_path / "r", protocol) as bird:
                async with wire_on(segment.hosts[0]) as (link, heard):
                    await link.carry_out(Bfd({"r": config}))
                    await both_up(link, bird)
                    await link.carry_out(Bfd({"r": config._replace(minimum_ttl=64)}))
                    await heard.until(lambda: "TTL 63" in heard.bfd[-1]["r"].fault)
                    await asyncio.sleep(3)
                    assert state_of(link) == "Down"

    @pytest.mark.asyncio
    async def test_multihop_with_frr_and_a_strict_minimum_ttl(self, segment, open_path):
        with behind(segment.hosts[1]) as far:
            segment.hosts[0].run("ip", "route", "add", "198.51.100.0/24", "via", ROUTER)
            peer = f"peer {NODE} multihop local-address 198.51.100.2"
            with Frr(far, open_path / "r", peer, "minimum-ttl 254", "no shutdown") as frr:
                async with wire_on(segment.hosts[0]) as (link, _):
                    await link.carry_out(Bfd({"r": BfdSession("198.51.100.2", is_multihop=True, minimum_ttl=254)}))
                    await both_up(link, frr)

    @pytest.mark.asyncio
    async def test_a_session_that_cannot_run_says_why_and_runs_when_it_can(self, segment, tmp_path):
        node = segment.hosts[0]
        with node.entered():
            taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            taken.bind(("", 3784))
        with Bird(segment.hosts[1], tmp_path / "r", BIRD_PEER) as bird:
            async with wire_on(node) as (link, heard):
                wrong = BfdSession("no address")
                await link.carry_out(Bfd({"r": CONFIG, "twin": CONFIG, "wrong": wrong}))
                await heard.until(lambda: heard.bfd and "3784" in heard.bfd[-1]["r"].fault)
                assert "not an address" in link.bfd_sessions["wrong"].fault
                taken.close()
                await both_up(link, bird)
                await until(lambda: "same addresses as r" in link.bfd_sessions["twin"].fault)

    @pytest.mark.asyncio
    async def test_an_interface_that_went_and_came_back_is_used_again(self, segment, tmp_path):
        node = segment.hosts[0]
        with Bird(segment.hosts[1], tmp_path / "r", BIRD_PEER) as bird:
            async with wire_on(node) as (link, _):
                await link.carry_out(Bfd({"r": CONFIG}))
                await both_up(link, bird)
                segment.hub.run("ip", "link", "delete", "port1")
                await until(lambda: "interface" in link.bfd_sessions["r"].fault and not bird.is_up(NODE))
                segment.plug(node, "eth0", "02:00:00:00:00:01", "port1")
                node.run("ip", "address", "add", f"{NODE}/16", "dev", "eth0")
                await both_up(link, bird)
                assert link.bfd_sessions["r"].fault == ""


@contextmanager
def behind(middle: Host):
    """A host in 198.51.100.0/24, which `middle` forwards to and from."""
    far = Namespace()
    try:
        middle.run("ip", "link", "add", "far", "type", "veth", "peer", "name", "eth0", "netns", far.path)
        middle.run("ip", "address", "add", "198.51.100.1/24", "dev", "far")
        middle.run("ip", "link", "set", "far", "up")
        middle.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        far.run("ip", "address", "add", "198.51.100.2/24", "dev", "eth0")
        far.run("ip", "link", "set", "eth0", "up")
        far.run("ip", "route", "add", "default", "via", "198.51.100.1")
        yield far
    finally:
        far.close()
