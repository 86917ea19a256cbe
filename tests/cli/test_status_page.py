"""`berth status -o html`: one page that anybody can open, and that nothing in the cluster can turn into another."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cli.reading import read_cluster
from cli.seen import World
from cli.status import picture
from cli.status.page import page
from cli.status.picture import Box, Picture, address_rows, judged, picture_of
from cli.status.state import state_of
from kube.io.client import Client
from kube.resource import L2ADVERTISEMENTS
from tests.browser import look
from tests.cli.setups import ADDRESS, BERTH, Setup

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def world(setup: Setup) -> World:
    return World(await read_cluster(setup.client, BERTH))


async def drawn(setup: Setup) -> Picture:
    found = await world(setup)
    return picture_of(found, judged(found))


async def html(setup: Setup) -> str:
    found = await world(setup)
    return page(state_of(found), found)


def links(found: Picture) -> list[tuple[str, str, str]]:
    return [
        (found.addresses.boxes[one.left].title, found.nodes.boxes[one.right].title, one.kind) for one in found.announced
    ]


async def test_an_address_is_linked_with_the_node_that_announces_it(setup: Setup) -> None:
    found = await drawn(setup)
    assert found.addresses.boxes == [Box(ADDRESS, "Announced by 1 node", "well")]
    assert [one.title for one in found.nodes.boxes] == ["node1", "node2"]
    assert links(found) == [(ADDRESS, "node1", "layer2")]
    assert found.routers.boxes == []


async def test_what_is_alike_is_one_box_and_what_is_wrong_comes_first(setup: Setup) -> None:
    for number in (11, 12, 13):
        await setup.service(f"more-{number}", f"192.0.2.{number}")
    await setup.announce("node1", ADDRESS, "192.0.2.11", "192.0.2.12")
    found = await drawn(setup)
    assert [(one.title, one.tone) for one in found.addresses.boxes] == [
        ("192.0.2.13", "wrong"),
        ("3 addresses", "well"),
    ]
    assert links(found) == [("3 addresses", "node1", "layer2")]
    rows, more = address_rows(seen := await world(setup), judged(seen), 2)
    assert [row["address"] for row in rows] == ["192.0.2.13", ADDRESS]
    assert more == 2


async def test_sessions_lead_from_nodes_to_routers(setup: Setup) -> None:
    await setup.bgp_only("no route to host")
    found = await drawn(setup)
    assert found.routers.boxes == [Box("tor1", "0 of 2 sessions", "wrong")]
    assert {one.kind for one in found.sessions} == {"down"}


async def test_no_column_has_more_than_people_can_read(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "MOST_BOXES", 1)
    await setup.service("two", "192.0.2.11")
    await setup.announce("node2", "192.0.2.11")
    found = await drawn(setup)
    assert [(one.name, len(one.boxes), one.more) for one in (found.addresses, found.nodes)] == [
        ("Addresses", 1, 1),
        ("Nodes", 1, 1),
    ]
    assert all(one.left == one.right == 0 for one in found.announced)


async def test_what_objects_say_stays_text(setup: Setup) -> None:
    evil = '</style><script>document.title = "owned"</script><img src=x onerror=alert(1)>'
    said = {"type": "Degraded", "status": "True", "reason": "UnknownCommunity", "message": evil}
    await setup.status(
        L2ADVERTISEMENTS, "lan", {"conditions": [{**said, "lastTransitionTime": "2026-01-02T03:04:05Z"}]}
    )
    text = await html(setup)
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;" in text


async def test_of_what_may_not_be_read_nothing_is_drawn(setup: Setup, kubeconfig: str) -> None:
    async with await Client.connect(kubeconfig, user_agent="test", acts_as="nobody") as client:
        found = World(await read_cluster(client, BERTH))
        text = page(state_of(found), found)
    assert "<svg" not in text
    assert "NotRead" in text


async def test_it_asks_nothing_of_any_network(setup: Setup) -> None:
    text = await html(setup)
    assert not re.findall(r"(?:src=|href=|url\()", text)
    svg = re.search(r"<svg.*</svg>", text, re.DOTALL)
    assert svg is not None
    ElementTree.fromstring(svg[0])


@pytest.mark.slow
async def test_a_browser_shows_it_and_runs_nothing(setup: Setup, tmp_path: Path) -> None:
    await setup.bgp_only("no route to host")
    await setup.service("two", "192.0.2.11")
    file = tmp_path / "status.html"
    file.write_text(await html(setup))
    seen = look(file.as_uri(), tmp_path / "status.png")
    assert seen.console == ()
    assert "tor1" in seen.dom
    assert seen.dom.count('class="box') == 3  # two addresses, two nodes, and a router
    assert (tmp_path / "status.png").stat().st_size > 10_000
