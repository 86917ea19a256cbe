"""Ranges as operators write them, and what is said of those that cannot be used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocator.space.ranges import AddressRange, BadRange, parse_address, parse_range
from crds.addresses import Family


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.10", "192.0.2.10"),
        (" 192.0.2.10 ", "192.0.2.10"),
        ("192.0.2.0/24", "192.0.2.0-192.0.2.255"),
        ("192.0.2.7/32", "192.0.2.7"),
        ("192.0.2.10-192.0.2.20", "192.0.2.10-192.0.2.20"),
        ("192.0.2.10 - 192.0.2.20", "192.0.2.10-192.0.2.20"),
        ("2001:db8::/64", "2001:db8::-2001:db8::ffff:ffff:ffff:ffff"),
        ("2001:DB8::1-2001:db8::a", "2001:db8::1-2001:db8::a"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_a_range_is_read(text: str, expected: str) -> None:
    parsed = parse_range(text)
    assert isinstance(parsed, AddressRange)
    assert str(parsed) == expected


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "write 192.0.2.10"),
        ("example.org", "is not an address"),
        ("192.0.2.256", "is not an address"),
        ("192.0.2.0/33", "is not a CIDR"),
        ("192.0.2.1/24", "write 192.0.2.0/24"),
        ("2001:db8::1/64", "write 2001:db8::/64"),
        ("192.0.2.20-192.0.2.10", "write 192.0.2.10-192.0.2.20"),
        ("192.0.2.1-2001:db8::1", "one range for each"),
        ("192.0.2.1-", "'' is not an address"),
        ("192.0.2.1-20", "'20' is not an address"),
        ("::ffff:192.0.2.1", "is not an address"),
        ("fe80::1%eth0", "is not an address"),
        ("192.0.2.0/24-192.0.3.0/24", "is not a CIDR"),
    ],
)
def test_what_cannot_be_used_says_what_to_write(text: str, advice: str) -> None:
    parsed = parse_range(text)
    assert isinstance(parsed, BadRange)
    assert advice in parsed.message


@given(st.text(max_size=40))
def test_no_text_is_too_strange(text: str) -> None:
    assert isinstance(parse_range(text), AddressRange | BadRange)


@given(st.ip_addresses(), st.ip_addresses())
def test_ends_in_order_make_a_range_and_others_do_not(one: object, other: object) -> None:
    first, last = parse_address(str(one)), parse_address(str(other))
    if first is None or last is None:
        return
    parsed = parse_range(f"{first}-{last}")
    assert isinstance(parsed, AddressRange) == (first.version == last.version and int(first) <= int(last))


def test_families_are_spelled_as_services_spell_them() -> None:
    assert [str(family) for family in Family] == ["IPv4", "IPv6"]
