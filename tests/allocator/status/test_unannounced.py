"""Why no node announces an address, as its record says it."""

import json

from allocator.objects import Advertisement, decode_bgp_advertisement, decode_l2_advertisement
from allocator.status.entries import Cause, Session
from allocator.status.unannounced import peers_down, why_unannounced
from tests.allocator.build import pool, pools
from tests.allocator.status.test_allocation import stored

EDGE = pools(pool("edge", "192.0.2.0/24"))
UP, DOWN = Session("tor1", "Established"), Session("tor1", "Active")


def advertisement(decode: object = decode_bgp_advertisement, **spec: object) -> Advertisement:
    return decode(json.dumps({"metadata": {"name": "ad", "uid": "u"}, "spec": spec}).encode())  # type: ignore[operator,no-any-return]


def message(causes: dict[str, Cause] | None = None, down: str = "") -> str:
    return why_unannounced(stored().claim, causes or {}, down).message


def test_what_a_speaker_knows_is_said() -> None:
    said = "its only ready endpoints are on node4, which has no live speaker"
    assert message({"node-b": Cause("192.0.2.10", "NoEligibleNode", said)}) == f"No node announces the address: {said}"


def test_until_a_speaker_tells_it_is_said_where_to_look() -> None:
    assert message().startswith("No node announces the address: look at ")


def test_a_speaker_can_write_no_book() -> None:
    assert len(message({"node-b": Cause("192.0.2.10", "", "x" * 100_000)})) < 1000


def test_peers_without_a_session_are_named() -> None:
    ads = [advertisement()]
    down = peers_down(stored().claim, EDGE, ads, {"tor1": [DOWN, DOWN], "tor2": []})
    assert down == (
        "by BGP no router hears of it: BGPPeer tor1 (0 of 2 sessions are up), tor2 (0 of 0 sessions are up)"
    )
    assert message(down=down) == f"No node announces the address: {down}"
    assert message({"node-b": Cause("", "", "on layer 2 none can")}, down).endswith(f": on layer 2 none can; {down}")
    assert peers_down(stored().claim, EDGE, ads, {}) == "there is no BGPPeer"


def test_a_peer_that_has_a_session_or_is_not_meant_is_not_the_cause() -> None:
    assert peers_down(stored().claim, EDGE, [advertisement()], {"tor1": [DOWN, UP]}) == ""
    named = [advertisement(peers=["tor2"])]
    assert "tor1" not in peers_down(stored().claim, EDGE, named, {"tor1": [DOWN], "tor2": [DOWN]})
    assert peers_down(stored().claim, EDGE, [advertisement(decode_l2_advertisement)], {"tor1": [DOWN]}) == ""
    assert peers_down(stored().claim, EDGE, [advertisement(ipPools=["other"])], {"tor1": [DOWN]}) == ""
