"""What IPPool objects amount to."""

from allocator.space.pools import Pool
from crds.addresses import Family
from tests.allocator.build import address, pool, pools


def usable(one: Pool, family: Family = Family.IPv4) -> int:
    return one.usable[family].capacity


def test_exclusions_are_taken_out_and_still_known_as_declared() -> None:
    compiled = pools(pool("edge", "192.0.2.0/24", exclude=["192.0.2.0-192.0.2.9", "192.0.2.254"]))
    assert usable(compiled.by_name["edge"]) == 245
    assert compiled.holding(address("192.0.2.254")) is None
    assert compiled.excluding(address("192.0.2.254")) is compiled.by_name["edge"]
    assert compiled.holding(address("192.0.2.10")) is compiled.by_name["edge"]


def test_buggy_addresses_are_avoided_in_ipv4_only() -> None:
    compiled = pools(pool("edge", "192.0.2.0/23", "2001:db8::/120", avoid_buggy_ips=True))
    assert usable(compiled.by_name["edge"]) == 508
    assert usable(compiled.by_name["edge"], Family.IPv6) == 256
    for text in ("192.0.2.0", "192.0.2.255", "192.0.3.0", "192.0.3.255"):
        assert compiled.holding(address(text)) is None


def test_avoiding_buggy_addresses_in_half_the_internet_is_refused() -> None:
    compiled = pools(pool("edge", "0.0.0.0/1", avoid_buggy_ips=True))
    assert not compiled.by_name["edge"].gives_out


def test_the_newer_of_two_overlapping_pools_loses_the_common_part() -> None:
    compiled = pools(
        pool("new", "192.0.2.100-192.0.2.220", created="2026-02-01T00:00:00Z"),
        pool("old", "192.0.2.0-192.0.2.120", created="2026-01-01T00:00:00Z"),
        pool("apart", "198.51.100.0/24"),
    )
    old, new = compiled.by_name["old"], compiled.by_name["new"]
    assert (usable(old), usable(new)) == (121, 100)
    assert compiled.holding(address("192.0.2.110")) is old
    assert compiled.holding(address("192.0.2.121")) is new
    assert [(one.other, str(one.addresses), one.lost) for one in new.overlaps] == [
        ("old", "192.0.2.100-192.0.2.120", True)
    ]
    assert [(one.other, one.lost) for one in old.overlaps] == [("new", False)]
    assert not compiled.by_name["apart"].overlaps


def test_an_overlap_inside_one_pool_is_no_overlap() -> None:
    compiled = pools(pool("edge", "192.0.2.0/24", "192.0.2.128/25", "192.0.2.7"))
    assert usable(compiled.by_name["edge"]) == 256
    assert not compiled.by_name["edge"].overlaps


def test_what_one_pool_excludes_another_may_have() -> None:
    compiled = pools(
        pool("one", "192.0.2.0/24", exclude=["192.0.2.128/25"]),
        pool("other", "192.0.2.128/25", created="2026-02-01T00:00:00Z"),
    )
    assert not compiled.by_name["other"].overlaps
    assert usable(compiled.by_name["other"]) == 128


def test_three_pools_over_each_other_share_nothing() -> None:
    compiled = pools(
        pool("a", "192.0.2.0-192.0.2.99", created="1"),
        pool("b", "192.0.2.50-192.0.2.149", created="2"),
        pool("c", "192.0.2.0-192.0.2.199", created="3"),
    )
    assert [usable(compiled.by_name[name]) for name in "abc"] == [100, 50, 50]


def test_what_lies_between_the_ends_of_an_ipv6_range_and_can_be_nobodys_is_left_out_and_told() -> None:
    edge = pools(pool("edge", "fd00::1-fec0::1")).by_name["edge"]
    (bad,) = edge.bad_ranges
    assert "'fd00::1-fec0::1'" in bad.message
    assert "link-local (fe80::/10)" in bad.message
    assert edge.holds(address("fd00::1"))
    assert not edge.holds(address("fe80::1"))
    assert edge.gives_out


def test_an_unreadable_range_leaves_the_rest_of_the_pool_in_use() -> None:
    edge = pools(pool("edge", "192.0.2.0/24", "192.0.2.300", "192.0.2.9-192.0.2.1")).by_name["edge"]
    assert usable(edge) == 256
    assert len(edge.bad_ranges) == 2
    assert edge.gives_out


def test_a_pool_with_an_unreadable_exclusion_gives_out_nothing() -> None:
    edge = pools(pool("edge", "192.0.2.0/24", exclude=["192.0.2.0.1"])).by_name["edge"]
    assert not edge.gives_out
    assert edge.holds(address("192.0.2.1"))


def test_pools_are_tried_by_priority_then_name() -> None:
    compiled = pools(pool("b", "192.0.2.1"), pool("a", "192.0.2.2"), pool("z", "192.0.2.3", priority=10))
    assert [one.name for one in compiled.in_order] == ["z", "a", "b"]


def test_selectors_choose_by_namespace_or_its_labels_and_by_the_services_labels() -> None:
    one = pools(
        pool(
            "edge",
            "192.0.2.1",
            namespaces=["ops"],
            namespace_selector={"matchLabels": {"team": "a"}},
            service_selector={"matchLabels": {"tier": "front"}},
        )
    ).by_name["edge"]
    front = {"tier": "front"}
    assert not one.why_not_for("ops", {}, front)
    assert not one.why_not_for("web", {"team": "a"}, front)
    other = "is for other namespaces than web (namespaces and namespaceSelector)"
    assert one.why_not_for("web", {"team": "b"}, front) == other
    assert one.why_not_for("ops", {}, {}) == "has a serviceSelector that the Service's labels do not fit"
    assert not pools(pool("any", "192.0.2.1")).by_name["any"].why_not_for("web", {}, {})


def test_an_address_is_found_in_any_of_many_ranges() -> None:
    compiled = pools(*(pool(f"p{number}", f"10.{number}.0.0/24", f"10.{number}.9.1") for number in range(50)))
    for number in range(50):
        assert compiled.holding(address(f"10.{number}.0.255")) is compiled.by_name[f"p{number}"]
        assert compiled.holding(address(f"10.{number}.9.1")) is compiled.by_name[f"p{number}"]
        assert compiled.holding(address(f"10.{number}.1.0")) is None
    assert compiled.holding(address("2001:db8::1")) is None
