"""Each source has its share of connections and of handshakes, whatever others take."""

import pytest

from kube.process.connections import BURST, MOST_SOURCES, PER_SECOND, Handshakes, source_of, to_drop


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_source_is_what_one_machine_may_have(address: str, source: str) -> None:
    assert source_of(address) == source


def test_the_oldest_of_the_source_that_has_most_is_dropped() -> None:
    assert to_drop(["scraper", "stranger", "kubelet", "stranger", "kubelet", "stranger"]) == 1
    assert to_drop(["scraper", "stranger"]) == 0, "of equals the oldest"


def test_a_source_begins_a_burst_and_then_so_many_a_second() -> None:
    handshakes = Handshakes()
    assert [handshakes.admits("a", 1.0) for _ in range(BURST + 2)] == [True] * BURST + [False] * 2
    assert sum(handshakes.admits("a", 1.0 + number / 100) for number in range(1, 1001)) == 10 * PER_SECOND
    assert handshakes.admits("b", 1.0)


def test_sources_are_forgotten_when_they_are_too_many() -> None:
    handshakes = Handshakes()
    for number in range(2 * MOST_SOURCES):
        handshakes.admits(str(number), float(number))
        handshakes.admits("always here", float(number))
    assert len(handshakes._spent) == MOST_SOURCES
    assert "always here" in handshakes._spent
