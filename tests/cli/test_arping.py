"""`berth arping` on a segment of namespaces, where other kernels and a wire process answer."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import owners
from cli.__main__ import main
from cli.answers import Owner
from cli.arping import NOBODY, NOT_ASKED, ONE, OWN, SEVERAL
from lab.net.segment import Host, Segment
from speaker.wire.messages import Withdraw
from tests.speaker.wire.conftest import wire_on
from tests.speaker.wire.orders import announce

VIP, VIP6 = "192.0.10.10", "2001:db8::10"
BERTH = str(Path(sys.executable).parent / "berth")


def test_a_cluster_that_is_silent_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async def silent(kubeconfig: str) -> dict[str, Owner]:
        raise TimeoutError

    monkeypatch.setattr(owners, "_read", silent)
    assert owners.read_owners("kubeconfig") is None
    assert "did not answer within 20 s" in capsys.readouterr().err


class TestUsage:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["no-address"],
            ["224.0.0.1"],
            [VIP, "--count", "0"],
            [VIP, "--count", "many"],
            [VIP, "--timeout", "0"],
            [VIP, "--timeout", "nan"],
            [],
        ],
    )
    def test_wrong_usage_is_argparses(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["arping", *arguments])
        assert ended.value.code == 2
        assert "usage: berth arping" in capsys.readouterr().err

    def test_an_interface_that_is_not_there(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["arping", VIP, "--interface", "none-such"]) == NOT_ASKED
        assert "none-such" in capsys.readouterr().err

    def test_what_takes_long_to_load_is_loaded_on_use(self) -> None:
        late = {"scapy", "asyncio", "aiohttp", "msgspec", "pydantic", "structlog"}
        code = f"import sys, cli.arping; print(*({late} & sys.modules.keys()))"
        assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"\n"


@pytest.fixture
def segment() -> Iterator[Segment]:
    try:
        made = Segment([1, 2, 3])
    except PermissionError as error:
        pytest.skip(str(error))
    with made:
        yield made


def alone() -> dict[str, str]:
    """Variables that lead to no cluster."""
    return {name: value for name, value in os.environ.items() if name != "KUBECONFIG"} | {"HOME": "/nonexistent"}


def arping(
    host: Host, *arguments: str, prefix: tuple[str, ...] = (), **environment: str
) -> "subprocess.CompletedProcess[str]":
    command = [*host.prefix, *prefix, BERTH, "arping", "--count=1", "--timeout=0.5", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=alone() | environment, check=False)


@pytest.mark.root
class TestSegment:
    @pytest.mark.asyncio
    async def test_it_finds_the_one_that_answers_and_says_when_nobody_does(self, segment: Segment) -> None:
        node, client, _ = segment.hosts
        async with wire_on(node) as (link, _):
            silent = await asyncio.to_thread(arping, client, VIP)
            assert silent.returncode == NOBODY
            assert silent.stdout.splitlines()[-1] == f"nobody answers for {VIP} (1 asked)"
            await link.carry_out(announce([(VIP, ["eth0"])]))
            found = await asyncio.to_thread(arping, client, VIP, "--count=2")
        assert found.returncode == ONE, found.stdout + found.stderr
        assert f"{VIP} is at {node.mac.hex(':')}, " in found.stdout
        assert "as 192.0.2.2 at 02:00:00:00:00:02" in found.stdout
        assert " ms" in found.stdout

    def test_two_kernels_with_one_address_are_a_conflict(self, segment: Segment) -> None:
        """Without a cluster to ask it can't be told whose they are."""
        client, *others = reversed(segment.hosts)
        for host in others:
            host.run("ip", "address", "add", f"{VIP}/32", "dev", "lo")
        for address in (VIP, "192.0.2.1", "192.0.2.2"):
            client.run("ping", "-c1", "-W1", address)
        found = arping(client, VIP)
        assert found.returncode == SEVERAL
        last = found.stdout.splitlines()[-1]
        assert last.startswith(f"CONFLICT: 2 machines answer for {VIP}, for longer than a hand-over takes: ")
        assert "kernels of nodes answer" in last
        for host in others:
            assert host.mac.hex(":") in last

    def test_two_interfaces_of_one_machine_are_found_by_what_else_they_answer_for(self, segment: Segment) -> None:
        node, client, _ = segment.hosts
        node.run("ip", "address", "add", f"{VIP}/32", "dev", "lo")
        segment.plug(node, "eth1", "02:00:00:00:00:0b", "port9")
        for address in (VIP, "192.0.2.1"):  # that it is known to be at one of them says nothing
            client.run("ping", "-c1", "-W1", address)
        found = arping(client, VIP)
        assert found.returncode == OWN, found.stdout + found.stderr
        assert "they all answer for 192.0.2.1 as well, so these are interfaces of one machine" in found.stdout

    @pytest.mark.asyncio
    async def test_a_hand_over_is_none_of_them(self, segment: Segment) -> None:
        one, other, client = segment.hosts
        command = [*client.prefix, BERTH, "arping", "--count=2", "--timeout=0.5", VIP]
        async with wire_on(one) as (link, _), wire_on(other) as (second, _):
            await link.carry_out(announce([(VIP, ["eth0"])]))
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=alone()) as asking:
                assert asking.stdout is not None
                read = asking.stdout.readline
                while " ms" not in await asyncio.to_thread(read):
                    pass  # it has one answer
                await second.carry_out(announce([(VIP, ["eth0"])]))
                await asyncio.sleep(0.5)
                await link.carry_out(Withdraw((VIP,)))
                last = (await asyncio.to_thread(asking.stdout.read)).splitlines()[-1]
        assert asking.returncode == ONE
        assert f"{VIP} is at {other.mac.hex(':')}: it was handed over by {one.mac.hex(':')}" in last

    def test_a_probe_claims_no_address(self, segment: Segment) -> None:
        node, client, _ = segment.hosts
        node.run("ip", "address", "add", f"{VIP}/16", "dev", "eth0")
        node.run("ip", "neighbour", "flush", "all")
        found = arping(client, VIP, "--probe")
        assert found.returncode == ONE
        assert "as 0.0.0.0 at" in found.stdout
        assert "192.0.2.2" not in node.run("ip", "neighbour", "show")

    @pytest.mark.parametrize("how", [(), ("--probe",)])
    def test_ipv6_by_neighbour_solicitations(self, segment: Segment, how: tuple[str, ...]) -> None:
        node, client, _ = segment.hosts
        for host, address in ((node, VIP6), (client, "2001:db8::2")):
            host.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.eth0.disable_ipv6=0")
            host.run("ip", "address", "add", f"{address}/64", "dev", "eth0", "nodad")
        assert arping(client, "2001:db8::11", *how).returncode == NOBODY
        found = arping(client, VIP6, *how)
        assert found.returncode == ONE, found.stdout + found.stderr
        assert f"{VIP6} is at {node.mac.hex(':')}, " in found.stdout

    def test_an_address_behind_a_router_is_not_asked_for_unless_told_where(self, segment: Segment) -> None:
        client = segment.hosts[1]
        refused = arping(client, "198.51.100.1")
        assert refused.returncode == NOT_ASKED
        assert "--interface" in refused.stderr
        client.run("ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.1")
        assert "--interface" in arping(client, "198.51.100.1").stderr
        assert "--interface" in arping(client, "192.0.2.2").stderr, "its own address"
        assert arping(client, "198.51.100.1", "--interface=eth0").returncode == NOBODY

    def test_without_the_capability_it_says_which(self, segment: Segment) -> None:
        refused = arping(segment.hosts[1], VIP, prefix=("setpriv", "--bounding-set", "-net_raw"))
        assert refused.returncode == NOT_ASKED
        assert "CAP_NET_RAW" in refused.stderr
        assert "Traceback" not in refused.stderr

    def test_a_cluster_that_does_not_answer_is_no_obstacle(self, segment: Segment, tmp_path: Path) -> None:
        node, client, _ = segment.hosts
        node.run("ip", "address", "add", f"{VIP}/16", "dev", "eth0")
        named = {"clusters": {"server": "http://127.0.0.1:1"}, "contexts": {"cluster": "x", "user": "x"}, "users": {}}
        kubeconfig = {"apiVersion": "v1", "kind": "Config", "current-context": "x"}
        for plural, value in named.items():
            kubeconfig[plural] = [{"name": "x", plural.removesuffix("s"): value}]  # type: ignore[assignment]
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(kubeconfig))
        found = arping(client, VIP, f"--kubeconfig={path}")
        assert found.returncode == ONE, found.stderr
        assert "can't be told" in found.stderr
