"""Heartbeats between real wire processes, on a bridge and over a router: who is heard where, and how soon lost."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench.heartbeat import name_of, wire_on
from lab.net.segment import Host, Namespace, Segment
from speaker.wire.io.link import OrderRefusedError, WireLink
from speaker.wire.messages import (
    Ages,
    Counters,
    Heartbeat,
    HeartbeatPort,
    Member,
    Members,
    OwnState,
    Permit,
    Report,
    UseInterfaces,
)
from tests.speaker.wire.conftest import boottime

pytestmark = [pytest.mark.root, pytest.mark.alone]

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
PATIENCE_SECONDS = 20.0
NAMES = ("node1", "node2", "node3")


@dataclass
class Speaker:
    """A wire process and an agent that says that all is well."""

    node: str
    link: WireLink
    counters: list[Counters] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    """Of each report about members, whether it brought news or ages."""
    permit_seconds: float = 3.0
    is_talking: bool = True
    state: dict = field(default_factory=lambda: {"is_serving": True})

    @property
    def heard(self) -> set[str]:
        return set(self.link.members)

    def member(self, node: str) -> Member:
        return self.link.members[node]

    async def configure(self, keys=(KEY,), members=NAMES, **settings) -> None:
        known = {node: settings.get("addresses", {}).get(node, ()) for node in members if node != self.node}
        await self.link.carry_out(Heartbeat(self.node, f"{self.node}-{self.link.pid}", tuple(keys), members=known))

    async def talk(self) -> None:
        while not self.link.dead.is_set():
            if self.is_talking:
                self.link.send(Permit(boottime() + self.permit_seconds))
                self.link.send(OwnState(contact=boottime() - 1, **self.state))
            await asyncio.sleep(0.2)

    def count(self, kind: str) -> int:
        return self.counters[-1].heartbeats[kind] if self.counters else 0


@asynccontextmanager
async def speaking(host: Namespace, node: str, interfaces=("eth0",), **settings) -> AsyncIterator[Speaker]:
    counters: list[Counters] = []
    reports: list[str] = []

    def on_report(report: Report) -> None:
        match report:
            case Counters():
                counters.append(report)
            case Members():
                reports.append("news")
            case Ages():
                reports.append("ages")
            case HeartbeatPort(is_taken):
                reports.append("port taken" if is_taken else "port ours")

    link = WireLink(on_report)
    await link.start(command_prefix=host.prefix)
    speaker = Speaker(node, link, counters, reports)
    await link.carry_out(UseInterfaces(interfaces))
    await speaker.configure(**settings)
    talking = asyncio.create_task(speaker.talk())
    try:
        yield speaker
    finally:
        talking.cancel()
        await link.stop()


@asynccontextmanager
async def all_speaking(segment: Segment, **settings) -> AsyncIterator[list[Speaker]]:
    async with AsyncExitStack() as stack:
        speakers = [
            await stack.enter_async_context(speaking(host, node, **settings))
            for host, node in zip(segment.hosts, NAMES, strict=True)
        ]
        yield speakers


async def until(condition, seconds: float = PATIENCE_SECONDS) -> float:
    """How long it took."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
    return time.monotonic() - began


def all_heard(speakers: list[Speaker]) -> bool:
    return all(one.heard == {other.node for other in speakers} - {one.node} for one in speakers)


@contextmanager
def cut(segment: Segment, port: str):
    """Nothing passes that port of the bridge, in either direction, and nobody's link goes down."""
    chain = "add chain bridge cut c { type filter hook forward priority 0; }"
    rules = [f"add rule bridge cut c {side} {port} drop" for side in ("iifname", "oifname")]
    for line in ("add table bridge cut", chain, *rules):
        segment.hub.run("nft", line)
    try:
        yield
    finally:
        segment.hub.run("nft", "delete", "table", "bridge", "cut")


class TestOnOneSegment:
    @pytest.mark.asyncio
    async def test_all_hear_each_other_and_what_each_says(self, segment):
        async with all_speaking(segment) as speakers:
            await until(lambda: all_heard(speakers))
            one, two, _ = speakers
            await until(lambda: one.member("node2").is_serving)
            seen = one.member("node2")
            assert seen.incarnation == f"node2-{two.link.pid}"
            assert seen.interfaces == seen.via == ("eth0",)
            assert 0.5 < boottime() - seen.contact < 10
            two.state = {"is_serving": True, "is_member": False, "is_behind": True, "is_leaving": True}
            await until(lambda: one.member("node2").is_behind)
            assert (one.member("node2").is_leaving, one.member("node2").is_member) == (True, False)

    @pytest.mark.asyncio
    async def test_while_nothing_is_new_their_ages_alone_are_told_now_and_then(self, segment):
        async with all_speaking(segment) as speakers:
            await until(lambda: all_heard(speakers))
            await asyncio.sleep(1)
            one = speakers[0]
            one.reports.clear()
            before, began = dict(one.link.members), boottime()
            await until(lambda: len(one.reports) == 3)
            assert one.reports == ["ages"] * 3
            assert 2 < boottime() - began < 10
            for node, member in one.link.members.items():
                assert member.heard > before[node].heard
                assert member.contact > before[node].contact
                assert member == before[node]._replace(heard=member.heard, contact=member.contact)

    @pytest.mark.asyncio
    async def test_one_that_is_killed_is_lost_within_about_a_second(self, segment):
        async with all_speaking(segment) as speakers:
            await until(lambda: all_heard(speakers))
            await asyncio.sleep(0.3)
            os.kill(speakers[2].link.pid, signal.SIGKILL)
            seconds = await until(lambda: "node3" not in speakers[0].heard | speakers[1].heard)
            assert 0.2 < seconds < 3
            assert speakers[0].heard == {"node2"}

    @pytest.mark.asyncio
    async def test_one_that_is_stopped_is_lost_at_once(self, segment):
        async with all_speaking(segment) as speakers:
            await until(lambda: all_heard(speakers))
            stopping = asyncio.create_task(speakers[2].link.stop())
            seconds = await until(lambda: "node3" not in speakers[0].heard | speakers[1].heard)
            await stopping
            assert seconds < 0.6

    @pytest.mark.asyncio
    async def test_a_wrong_key_is_counted_and_not_heard(self, segment):
        async with all_speaking(segment) as speakers:
            await until(lambda: all_heard(speakers))
            await speakers[2].configure(keys=[OTHER_KEY])
            await until(lambda: not speakers[2].heard and "node3" not in speakers[0].heard)
            await until(lambda: speakers[0].count("unsigned") > 3)
            assert speakers[0].heard == {"node2"}
            await until(lambda: speakers[2].count("received") > 0)

    @pytest.mark.asyncio
    async def test_a_key_is_rotated_without_losing_anybody(self, segment):
        async with all_speaking(segment) as speakers:
            await until(lambda: all_heard(speakers))
            since = {(one.node, node): one.member(node).since for one in speakers for node in one.heard}
            for keys in ([KEY, OTHER_KEY], [OTHER_KEY, KEY], [OTHER_KEY]):
                for speaker in speakers:
                    await speaker.configure(keys=keys)
                    await asyncio.sleep(0.3)
            await asyncio.sleep(0.8)
            assert since == {(one.node, node): one.member(node).since for one in speakers for node in one.heard}

    @pytest.mark.asyncio
    async def test_one_that_was_cut_off_is_heard_again_fast(self, segment):
        async with all_speaking(segment) as speakers:
            await until(lambda: all_heard(speakers))
            with cut(segment, "port3"):
                await until(lambda: not speakers[2].heard and speakers[0].heard == {"node2"})
                await asyncio.sleep(1)
            seconds = await until(lambda: all_heard(speakers))
            print(f"heard again after {seconds * 1000:.0f} ms")
            assert seconds < 0.5

    @pytest.mark.asyncio
    async def test_an_agent_that_says_nothing_any_more_takes_its_wire_off_the_air(self, segment):
        async with all_speaking(segment) as speakers:
            await until(lambda: all_heard(speakers))
            speakers[2].is_talking = False
            seconds = await until(lambda: "node3" not in speakers[0].heard | speakers[1].heard)
            assert 1.5 < seconds < 6
            assert not speakers[2].link.dead.is_set()
            speakers[2].is_talking = True
            await until(lambda: all_heard(speakers))

    @pytest.mark.asyncio
    async def test_without_a_permit_nobody_claims_to_serve(self, segment):
        async with all_speaking(segment) as speakers:
            await until(lambda: all_heard(speakers) and speakers[0].member("node3").is_serving)
            speakers[2].permit_seconds = -1
            await until(lambda: not speakers[0].member("node3").is_serving)
            assert speakers[0].heard == {"node2", "node3"}

    @pytest.mark.asyncio
    async def test_a_frozen_process_believes_nothing_from_before_it_woke(self, segment):
        async with all_speaking(segment) as speakers:
            await until(lambda: all_heard(speakers))
            since = speakers[0].member("node2").since
            os.kill(speakers[0].link.pid, signal.SIGSTOP)
            await asyncio.sleep(1)  # node3's packets wait in its socket
            os.kill(speakers[2].link.pid, signal.SIGKILL)
            await asyncio.sleep(2)
            os.kill(speakers[0].link.pid, signal.SIGCONT)
            seconds = await until(lambda: "node3" not in speakers[0].heard)
            assert seconds < 3
            await until(lambda: speakers[0].heard == {"node2"} and speakers[0].count("discarded") > 3)
            assert speakers[0].member("node2").since == since  # nobody is dead who had no chance to be heard

    @pytest.mark.asyncio
    async def test_unknown_nodes_are_not_heard_until_they_are_known(self, segment):
        async with all_speaking(segment, members=("node1", "node2")) as speakers:
            await until(lambda: speakers[0].count("unknown") > 0 and speakers[0].heard == {"node2"})
            for speaker in speakers:
                await speaker.configure()
            await until(lambda: all_heard(speakers))

    @pytest.mark.asyncio
    async def test_a_name_that_fits_no_packet_is_refused(self, segment):
        async with speaking(segment.hosts[0], "node1") as speaker:
            with pytest.raises(OrderRefusedError, match="too long"):
                await speaker.link.carry_out(Heartbeat("n" * 300, "i", (KEY,)))

    @pytest.mark.asyncio
    async def test_hundreds_of_known_peers_are_given_in_parts(self, segment):
        members = (*NAMES, *(f"absent-node-with-a-long-name-{number}.example" for number in range(700)))
        async with all_speaking(segment, members=members) as speakers:
            await until(lambda: all_heard(speakers))
            memory = Path(f"/proc/{speakers[0].link.pid}/statm").read_text().split()[1]
            assert int(memory) * resource.getpagesize() < 25 * 1024 * 1024


class TestOtherWays:
    @pytest.mark.asyncio
    async def test_interfaces_without_ipv4_speak_ipv6(self, segment):
        for host in segment.hosts:
            host.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=0", "net.ipv6.conf.eth0.accept_dad=0")
            host.run("ip", "-4", "address", "flush", "dev", "eth0")
            host.run("ip", "link", "set", "eth0", "down")
            host.run("ip", "link", "set", "eth0", "up")
        async with all_speaking(segment) as speakers:
            await until(lambda: all_heard(speakers))
            assert speakers[0].member("node2").via == ("eth0",)

    @pytest.mark.asyncio
    async def test_an_interface_that_comes_and_goes_is_used_while_it_is_there(self, segment):
        async with all_speaking(segment, interfaces=("eth0", "eth1")) as speakers:
            await until(lambda: all_heard(speakers))
            for number, host in enumerate(segment.hosts, start=1):
                segment.plug(host, "eth1", f"02:00:00:00:01:{number:02x}", f"second{number}")
            await until(lambda: speakers[0].member("node2").via == ("eth0", "eth1"))
            segment.hub.run("ip", "link", "del", "second2")
            await until(lambda: speakers[0].member("node2").interfaces == ("eth0",))
            # Both interfaces of node1 are on one bridge, so that node2 is still heard on the other one by eth0.
            assert speakers[0].heard == {"node2", "node3"}
            segment.plug(segment.hosts[1], "eth1", "02:00:00:00:01:02", "again2")
            await until(lambda: speakers[1].member("node1").via == ("eth0", "eth1"))

    @pytest.mark.asyncio
    async def test_a_port_that_another_program_has_is_told_and_taken_when_it_is_free(self, segment):
        holding = (
            "import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 7473)); print(flush=True)"
        )
        command = [*segment.hosts[0].prefix, sys.executable, "-c", f"{holding}; time.sleep(60)"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
            other.stdout.readline()
            try:
                async with all_speaking(segment) as speakers:
                    await until(lambda: "port taken" in speakers[0].reports)
                    await until(lambda: speakers[1].heard == {"node3"})
                    other.kill()
                    await until(lambda: all_heard(speakers))
                    assert speakers[0].reports.count("port ours") == 1
                    assert not any("port" in one for one in speakers[1].reports)
            finally:
                other.kill()

    @pytest.mark.asyncio
    async def test_peers_behind_a_router_are_written_to(self):
        with Segment([1]) as here, Segment([2]) as there:
            one, two = here.hosts[0], there.hosts[0]
            _route_between(here, there)
            one.run("ip", "route", "add", "10.9.2.0/24", "via", "10.9.1.254")
            two.run("ip", "route", "add", "10.9.1.0/24", "via", "10.9.2.254")
            addresses = {"node1": ("10.9.1.1",), "node2": ("10.9.2.1",)}
            settings = {"members": ("node1", "node2"), "addresses": addresses}
            async with speaking(one, "node1", **settings) as first, speaking(two, "node2", **settings) as second:
                await until(lambda: all_heard([first, second]))
                assert first.member("node2").via == ("",)
                os.kill(second.link.pid, signal.SIGKILL)
                assert await until(lambda: not first.heard) < 3


def _route_between(here: Segment, there: Segment) -> None:
    """The first hub routes to the second one over a cable."""
    here.hub.run("ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", there.hub.path)
    for number, segment in ((1, here), (2, there)):
        segment.hub.run("ip", "address", "add", f"10.9.{number}.254/24", "dev", "br0")
        segment.hub.run("ip", "address", "add", f"10.9.9.{number}/24", "dev", "cable")
        segment.hub.run("ip", "link", "set", "cable", "up")
        segment.hub.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        segment.hub.run("ip", "route", "add", f"10.9.{3 - number}.0/24", "via", f"10.9.9.{3 - number}")
        host: Host = segment.hosts[0]
        host.run("ip", "address", "flush", "dev", "eth0")
        host.run("ip", "address", "add", f"10.9.{number}.1/24", "dev", "eth0")


class TestMany:
    @pytest.mark.asyncio
    async def test_so_many_that_they_are_taken_in_by_batches(self, segment):
        node, others, _ = segment.hosts
        command = [*others.prefix, sys.executable, "-m", "bench.members", "40"]
        async with wire_on(node, 40) as (link, watch):
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as player:
                try:
                    await until(lambda: len(watch.heard) == 40)
                    await asyncio.sleep(1)
                    before = _wakes(link.pid)
                    await asyncio.sleep(2)
                    assert _wakes(link.pid) - before < 2 * 60  # of 400 packets
                    assert watch.lost_at == {}
                    player.stdin.write("7\n")
                    player.stdin.flush()
                    assert await until(lambda: watch.lost_at) < 3
                    assert set(watch.lost_at) == {name_of(7)}
                finally:
                    player.kill()


def _wakes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])
