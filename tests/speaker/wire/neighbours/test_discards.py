"""How the kernel is told to discard echo requests, read back from the messages that go to it."""

import ipaddress

from speaker.wire.neighbours.discards import (
    FAMILIES,
    add_route,
    add_rule,
    delete_route,
    delete_rule,
    own_route,
    own_rule,
)
from speaker.wire.neighbours.filter import ETH_P_IP, ETH_P_IPV6

NEW_ROUTE, NEW_RULE = 24, 32
VIP, VIP6 = (ipaddress.ip_address(text).packed for text in ("192.0.2.10", "2001:db8::10"))


def test_rules_and_routes_of_ours_are_known_again_and_those_of_others_are_not() -> None:
    for ethertype in FAMILIES:
        rule = add_rule(ethertype, "eth0")
        assert own_rule(rule.kind, rule.body) == "eth0"
        assert own_rule(rule.kind, rule.body.replace(b"\xcb", b"\x02")) is None  # another protocol number
        assert own_rule(rule.kind, rule.body[:11]) is None
        assert own_rule(NEW_ROUTE, rule.body) is None
    for address in (VIP, VIP6):
        route = add_route(address)
        assert own_route(route.kind, route.body) == address
        assert own_route(route.kind, route.body.replace(b"\xcb", b"\x02")) is None
        assert own_route(route.kind, route.body[:11]) is None
        assert own_route(NEW_RULE, route.body) is None


def test_what_is_deleted_is_what_was_added() -> None:
    assert delete_rule(ETH_P_IPV6, "eth0").body == add_rule(ETH_P_IPV6, "eth0").body
    assert delete_rule(ETH_P_IP, "eth0").body != add_rule(ETH_P_IP, "eth1").body
    assert delete_route(VIP).body == add_route(VIP).body
