"""A process that stands in for ExaBGP, and the pipes to it: what it wrote before its end is read, for a moment."""

import time
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from speaker.bgp.exabgp import events
from speaker.bgp.exabgp.io.process import REST_SECONDS, ExaBgpProcess
from speaker.bgp.model import PeerConfig

pytestmark = [pytest.mark.asyncio]
PEER = PeerConfig(
    name="tor",
    my_asn=64512,
    peer_asn=64513,
    peer_address=IPv4Address("10.0.0.2"),
    router_id=IPv4Address("10.0.0.1"),
    families=frozenset({"ipv4"}),
)
STAND_IN = """
for last; do :; done
folder=${{last%/*}}
setsid sh -c "exec >$folder/events 2>/dev/null; cat <$folder/commands >/dev/null & sleep {seconds}; echo done" &
exec sleep 60
"""


@pytest.mark.parametrize(("seconds", "read"), [(0.2, [events.Answer(True)]), (REST_SECONDS + 2, [])])
async def test_what_is_on_its_way_when_it_is_killed_is_read_for_a_moment(
    tmp_path: Path, seconds: float, read: list[events.Event]
) -> None:
    script = tmp_path / "stand-in"
    script.write_text(STAND_IN.format(seconds=seconds))
    seen: list[events.Event] = []
    process = ExaBgpProcess(
        tmp_path / "pipes", on_event=seen.append, on_lost=lambda: None, prefix=("/bin/sh", str(script))
    )
    await process.start(PEER)
    began = time.monotonic()
    await process.kill()
    assert seen == read
    assert time.monotonic() - began < REST_SECONDS + 1
