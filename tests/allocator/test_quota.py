"""A namespace never has more of a pool than its share, whatever its Services ask for, one after the other."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocator.ledger import Ledger
from allocator.request import Request, request_of
from allocator.sharing import left
from crds.addresses import IPAddress
from tests.allocator.build import decide, ledger, pool, service

FOUR = ["192.0.2.10", "192.0.2.11", "192.0.2.12"]
SIX = ["2001:db8::10", "2001:db8::11"]
FAMILIES: list[dict[str, Any]] = [
    {"families": ["IPv4"]},
    {"families": ["IPv6"]},
    {"families": ["IPv4", "IPv6"], "policy": "PreferDualStack"},
    {"families": ["IPv4", "IPv6"], "policy": "RequireDualStack"},
]


@st.composite
def wishes(draw: st.DrawFn) -> Any:
    """A Service as somebody edits it now."""
    annotations = {}
    if draw(st.booleans()):
        annotations["berth.dev/sharing-key"] = draw(st.sampled_from(["k", "k", "m"]))
    if draw(st.booleans()):
        some = draw(st.lists(st.sampled_from(FOUR + SIX), min_size=1, max_size=3, unique=True))
        annotations["berth.dev/ips"] = ",".join(some)
    ports = draw(st.lists(st.sampled_from([80, 443, 25]), min_size=1, max_size=2, unique=True))
    return request_of(
        service(
            draw(st.sampled_from("ab")),
            namespace=draw(st.sampled_from(["shop", "shop", "other"])),
            ports=[("TCP", port) for port in ports],
            annotations=annotations,
            **draw(st.sampled_from(FAMILIES)),
        )
    )


def leave(book: Ledger, uid: str, address: IPAddress) -> None:
    """The Service has left it, and who is the last one has it released to the end."""
    entry = book.get(address)
    assert entry is not None
    book.revise(entry, left(entry.claim, uid))
    if entry.claim.releasing:
        book.free(entry, 0.0)


def had(book: Ledger) -> Counter[str]:
    """Addresses, by namespace."""
    return Counter(name for entry in book for name in {holder.key.namespace for holder in entry.claim.holders})


@pytest.mark.parametrize("most", [1, 2])
@given(st.lists(wishes(), max_size=12))
def test_no_namespace_has_more_than_its_share(most: int, asked: list[Any]) -> None:
    book = ledger(pool("edge", *FOUR, *SIX, sharing="AnyNamespace", max_per_namespace=most))
    now: dict[str, Request] = {}
    for wish in asked:
        if not isinstance(wish, Request):
            continue  # it asks for what contradicts itself
        now[wish.holder.uid] = wish
        decision = decide(book, wish, others=now.values())
        for address in decision.leaving:
            leave(book, wish.holder.uid, address)
        assert not had(book) or max(had(book).values()) <= most, [str(entry.claim) for entry in book]
        assert book.held_in_namespace("edge", "shop") == had(book)["shop"]
