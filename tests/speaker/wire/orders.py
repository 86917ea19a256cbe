"""Orders from whatever a test has at hand."""

from collections.abc import Iterable

from speaker.wire.messages import Announce, Probe, Withdraw


def announce(entries: Iterable[tuple[str, Iterable[str]]]) -> Announce:
    return Announce(tuple((address, tuple(names)) for address, names in entries))


def withdraw(addresses: Iterable[str]) -> Withdraw:
    return Withdraw(tuple(addresses))


def probe(entries: Iterable[tuple[str, Iterable[str], int]]) -> Probe:
    return Probe(tuple((address, tuple(names), run) for address, names, run in entries))
