"""Which addresses answer echo requests, where a port is needed for them, and how many are answered."""

import ipaddress

from speaker.wire.neighbours.filter import ETH_P_IP, ETH_P_IPV6, ping_program
from speaker.wire.neighbours.pace import BURST, PER_SECOND, Pace
from speaker.wire.neighbours.pingable import Pingable

A, B = bytes([192, 0, 2, 10]), bytes([192, 0, 2, 11])
SIX = ipaddress.IPv6Address("2001:db8::10").packed


def test_ports_are_needed_where_an_address_of_that_family_is_announced_and_answers() -> None:
    pingable = Pingable()
    pingable.hold(A, ("eth0",))
    pingable.hold(B, ("eth0", "eth1"))
    pingable.hold(SIX, ("eth1",))
    assert pingable.places == {("eth0", ETH_P_IP), ("eth1", ETH_P_IP), ("eth1", ETH_P_IPV6)}
    pingable.hold(B, ("eth0",))
    pingable.drop(SIX)
    assert pingable.places == {("eth0", ETH_P_IP)}
    for address in (A, B, B, SIX):
        pingable.drop(address)
    assert pingable.places == frozenset()
    assert pingable.interfaces == {}


def test_a_filter_is_replaced_when_it_no_longer_fits() -> None:
    pingable = Pingable()
    pingable.hold(A, ("eth0",))
    assert pingable.take_stale() == {ETH_P_IP}
    assert pingable.take_stale() == set()
    first = int.from_bytes(A, "big")
    assert pingable.program(ETH_P_IP) == ping_program([(first, first)])
    pingable.drop(A)
    assert pingable.take_stale() == {ETH_P_IP}
    assert pingable.program(ETH_P_IP) == ping_program([])


def test_so_many_are_answered_in_a_second_whatever_comes() -> None:
    pace = Pace()
    answered, now = 0, 1000.0
    for step in range(100_000):
        now = 1000.0 + step / 20_000
        if pace.has_room(now):
            pace.count()
            answered += 1
    assert answered <= BURST + 5 * PER_SECOND + 1
    assert answered >= 5 * PER_SECOND


def test_it_goes_on_when_there_is_room_for_some() -> None:
    pace = Pace()
    while pace.has_room(1000.0):
        pace.count()
    at = pace.goes_on_at()
    assert 1000.0 < at < 1000.1
    assert not pace.has_room(1000.0)
    assert pace.has_room(at)
