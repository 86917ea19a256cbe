"""What BFDProfiles and Communities say: who uses them."""

import json
from typing import Any

from allocator.objects import decode_bgp_advertisement, decode_community, decode_peer, decode_profile
from allocator.status.use import community_users, profile_users, use_status

NOW = "2026-03-01T00:00:00Z"


def raw(name: str, **spec: Any) -> bytes:
    return json.dumps({"metadata": {"name": name, "uid": "u", "generation": 3}, "spec": spec}).encode()


def peer(name: str, **spec: Any) -> Any:
    return decode_peer(raw(name, myASN=64512, peerASN=64513, peerAddress="192.0.2.1", **spec))


def said(status: dict[str, Any]) -> tuple[str, str, str, str]:
    (ready,) = status["conditions"]
    assert status["observedGeneration"] == 3
    return ready["status"], ready["reason"], ready["message"], status["usedBy"]


def test_a_profile_names_the_peers_that_use_it_and_is_no_fault_without() -> None:
    users = profile_users([peer("tor1", bfdProfile="fast"), peer("tor2", bfdProfile="fast"), peer("tor3")])
    assert said(use_status(decode_profile(raw("fast")), users, NOW)) == (
        "True",
        "Valid",
        "Used by BGPPeer tor1, tor2",
        "tor1,tor2",
    )
    assert said(use_status(decode_profile(raw("slow")), users, NOW)) == ("True", "NotUsed", "No BGPPeer uses it", "")


def test_a_community_is_used_by_any_of_its_names() -> None:
    ads = [decode_bgp_advertisement(raw(name, communities=["blue", "64512:7"])) for name in "abcde"]
    colours = [{"name": "blue", "value": "64512:1"}, {"name": "red", "value": "64512:2"}]
    users = community_users(ads)
    assert said(use_status(decode_community(raw("colours", communities=colours)), users, NOW))[3] == "a,b,c+2"
    assert said(use_status(decode_community(raw("other", communities=colours[1:])), users, NOW))[1] == "NotUsed"


def test_what_did_not_change_is_equal_and_so_not_written_again() -> None:
    one = decode_profile(raw("fast"))
    status = use_status(one, {}, NOW)
    body = {**json.loads(raw("fast")), "status": status}
    again = decode_profile(json.dumps(body).encode())
    assert use_status(again, {}, "2026-03-01T00:00:09Z") == again.status
