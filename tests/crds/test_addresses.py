"""Addresses as people list them."""

from ipaddress import IPv6Address, ip_address

from hypothesis import example, given
from hypothesis import strategies as st

from crds.addresses import IPAddress, addresses_in, plain_address

PARTS = st.integers(-2, 300).map(str) | st.sampled_from(
    ["01", "1_0", "+1", " 1", "\u0661", "", "0x1", "1\n", "9" * 5000]
)


def slowly(text: str) -> IPAddress | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    is_plain = not isinstance(found, IPv6Address) or (found.ipv4_mapped is None and found.scope_id is None)
    return found if is_plain else None


@given(st.lists(PARTS, min_size=3, max_size=5).map(".".join) | st.ip_addresses().map(str) | st.text(max_size=20))
@example("0.0.0.0")
@example("255.255.255.255")
def test_one_address_is_read_as_pythons_own_parser_reads_it(text: str) -> None:
    assert plain_address(text) == slowly(text)


def test_what_is_no_address_is_left_out_and_what_is_has_one_spelling() -> None:
    assert addresses_in(" 192.0.2.1,192.0.2.01,2001:DB8:0::1 ,x", 10) == {"192.0.2.1", "2001:db8::1"}
    assert addresses_in("", 10) == frozenset()
    assert addresses_in("fe80::0:1%eth1, 192.0.2.1%red,192.0.2.2%", 10) == {"fe80::1%eth1", "192.0.2.1%red"}


def test_no_more_parts_are_read_than_asked_for() -> None:
    assert addresses_in("192.0.2.1,x,192.0.2.3,192.0.2.4", 3) == {"192.0.2.1", "192.0.2.3"}
