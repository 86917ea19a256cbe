"""Addresses as people list them."""

from crds.addresses import addresses_in


def test_what_is_no_address_is_left_out_and_what_is_has_one_spelling() -> None:
    assert addresses_in(" 192.0.2.1,192.0.2.01,2001:DB8:0::1 ,x", 10) == {"192.0.2.1", "2001:db8::1"}
    assert addresses_in("", 10) == frozenset()
    assert addresses_in("fe80::0:1%eth1, 192.0.2.1%red,192.0.2.2%", 10) == {"fe80::1%eth1", "192.0.2.1%red"}


def test_no_more_parts_are_read_than_asked_for() -> None:
    assert addresses_in("192.0.2.1,x,192.0.2.3,192.0.2.4", 3) == {"192.0.2.1", "192.0.2.3"}
