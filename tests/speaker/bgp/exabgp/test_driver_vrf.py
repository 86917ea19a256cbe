"""Sessions in a VRF and the driver, with BIRD: where this kernel has VRF devices, and what shows where it has none."""

from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path

import pytest

from crds.bfdprofile import BFDProfileSpec
from lab.routers.links import Bird, Link, routes
from speaker.bgp.bfdsessions import session_config
from speaker.wire.messages import Bfd
from tests.speaker.bgp.exabgp.conftest import driving
from tests.speaker.wire.conftest import wire_on

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.slow, pytest.mark.asyncio]
V4 = ip_network("10.9.0.1/32")
BFD = 'protocol bfd { interface "eth0" { interval 300 ms; multiplier 3; }; }'


async def test_a_session_in_a_vrf_with_bfd(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    try:
        link.node.run("ip", "link", "add", "red", "type", "vrf", "table", "10")
    except RuntimeError as error:
        pytest.skip(f"this kernel has no VRF devices (CONFIG_NET_VRF): {error}")
    link.node.run("ip", "link", "set", "red", "up")
    link.node.run("ip", "link", "set", link.interface, "master", "red")
    bird = Bird(link, tmp_path, bgp="bfd;", extra=BFD)
    opened.enter_context(bird)
    async with wire_on(link.node, interfaces=()) as (wire, _), driving(link.node, tmp_path) as driven:
        peer = link.peer(vrf="red")
        driven.driver.set_peers({"tor": peer})
        driven.driver.set_routes("tor", routes(str(V4)))
        await driven.until("it is there", lambda: bird.prefixes() == {V4})
        assert bird.route(V4)["BGP.next_hop"] == str(link.ours)
        assert driven.driver.routers.keys() == {f"{link.theirs}%red"}
        await wire.carry_out(Bfd({"tor": session_config(peer, BFDProfileSpec())}))
        await driven.until("BFD is up", lambda: wire.bfd_sessions["tor"].state == "Up")


async def test_a_session_and_bfd_are_bound_to_the_device_of_their_vrf(
    link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    """Any device is one to a socket. By another one there is no way."""
    bird = Bird(link, tmp_path, bgp="bfd;", extra=BFD)
    opened.enter_context(bird)
    link.node.run("ip", "link", "add", "blue", "type", "veth", "peer", "name", "green")
    link.node.run("ip", "link", "set", "blue", "up")
    async with wire_on(link.node, interfaces=()) as (wire, _), driving(link.node, tmp_path) as driven:
        peer = link.peer(vrf=link.interface)
        driven.driver.set_peers({"tor": peer, "other": link.peer("other", vrf="blue")})
        driven.driver.set_routes("tor", routes(str(V4)))
        await wire.carry_out(Bfd({"tor": session_config(peer, BFDProfileSpec())}))
        await driven.until("it is there", lambda: bird.prefixes() == {V4})
        await driven.until("BFD is up", lambda: wire.bfd_sessions["tor"].state == "Up")
        assert driven.driver.sessions["other"].state == "Connect"


async def test_a_vrf_that_is_not_there_is_told(link: Link, tmp_path: Path) -> None:
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(vrf="red")})
        told = lambda: driven.driver.sessions["tor"].last_error  # noqa: E731
        await driven.until("it is told", lambda: "red" in told())
