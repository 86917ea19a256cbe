"""Prefixes that are made once: they are the same as any others."""

from ipaddress import ip_network
from itertools import islice

import pytest

from speaker.bgp.prefixes import prefix_of


@pytest.mark.parametrize(
    ("address", "length", "same"),
    [
        ("192.0.2.1", None, "192.0.2.1/32"),
        ("192.0.2.1", 32, "192.0.2.1/32"),
        ("192.0.2.9", 24, "192.0.2.0/24"),
        ("2001:db8::1", None, "2001:db8::1/128"),
        ("2001:db8::1", 64, "2001:db8::/64"),
    ],
)
def test_a_kept_prefix_is_the_one_that_is_made_anew(address: str, length: int | None, same: str) -> None:
    kept, made = prefix_of(address, length), ip_network(same)
    assert kept == made
    assert hash(kept) == hash(made)
    assert {made: 1}[kept] == {kept: 1}[made] == 1
    assert str(kept) == same
    assert list(islice(kept.hosts(), 3)) == list(islice(made.hosts(), 3))
    assert prefix_of(address, length) is kept


def test_what_is_no_address_has_no_prefix() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        prefix_of("nonsense")
