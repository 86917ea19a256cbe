"""What follows from holding an address, and that nothing of it is left when it is dropped."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from speaker.wire.neighbours.filter import ETH_P_ARP, ETH_P_IPV6, PROGRAMS
from speaker.wire.neighbours.groups import Change, How
from speaker.wire.neighbours.holdings import Holdings

NOW = 1000.0
IPV4_VIP = bytes([192, 0, 2, 10])
IPV6_VIP, ALIKE = (ipaddress.IPv6Address(text).packed for text in ("2001:db8::10", "2001:db8:1::10"))
GROUP = ipaddress.IPv6Address("ff02::1:ff00:10").packed


def due(holdings: Holdings) -> list[tuple[bytes, str]]:
    return [(one.address, one.interface) for one in holdings.schedule.due(NOW)]


def test_each_family_has_its_own_filter():
    holdings = Holdings()
    holdings.hold(IPV4_VIP, ("eth0",), {"eth0"}, NOW)
    assert list(holdings.take_programs()) == [ETH_P_ARP]
    holdings.hold(IPV6_VIP, ("eth0",), {"eth0"}, NOW)
    assert holdings.take_programs() == {ETH_P_IPV6: PROGRAMS[ETH_P_IPV6]([(0x10, 0x10)])}
    holdings.drop(IPV6_VIP)
    assert holdings.take_programs() == {ETH_P_IPV6: PROGRAMS[ETH_P_IPV6]([])}
    assert holdings.take_programs() == {}


def test_only_ipv6_addresses_need_groups():
    holdings = Holdings()
    holdings.groups.open("eth0", 7)
    holdings.hold(IPV4_VIP, ("eth0",), {"eth0"}, NOW)
    holdings.hold(IPV6_VIP, ("eth0",), {"eth0"}, NOW)
    assert holdings.groups.take() == [Change(True, 7, how, GROUP) for how in (How.MAC, How.MLD)]


def test_a_burst_begins_on_new_interfaces_that_are_in_use():
    holdings = Holdings()
    holdings.hold(IPV6_VIP, ("eth0", "eth1"), {"eth0"}, NOW)
    assert due(holdings) == [(IPV6_VIP, "eth0")]
    holdings.hold(IPV6_VIP, ("eth0", "eth1"), {"eth0", "eth1"}, NOW)
    assert len(holdings.schedule) == 1
    holdings.announce_again([IPV6_VIP, IPV4_VIP], "eth1", NOW)
    assert len(holdings.schedule) == 2


addresses = st.sampled_from([IPV4_VIP, bytes([192, 0, 2, 11]), IPV6_VIP, ALIKE])
interfaces = st.sampled_from([(), ("eth0",), ("eth1",), ("eth0", "eth1")])


@given(st.lists(st.tuples(st.booleans(), addresses, interfaces), max_size=40))
def test_whatever_was_held_dropping_all_leaves_nothing(steps):
    holdings, joined = Holdings(), set()
    holdings.groups.open("eth0", 7)
    holdings.groups.open("eth1", 8)
    for is_held, address, names in steps:
        if is_held:
            holdings.hold(address, names, {"eth0"}, NOW)
        else:
            holdings.drop(address)
    for address in list(holdings.table.held):
        holdings.drop(address)
    for change in holdings.groups.take():
        joined ^= {(change.ifindex, change.how, change.group)}
    assert joined == set()
    assert len(holdings.schedule) == 0
    for protocol, program in holdings.take_programs().items():
        assert program == PROGRAMS[protocol]([])


def test_an_address_that_is_only_probed_for_is_let_in_and_leaves_nothing():
    holdings = Holdings()
    holdings.groups.open("eth0", 7)
    for address, protocol in ((IPV4_VIP, ETH_P_ARP), (IPV6_VIP, ETH_P_IPV6)):
        empty = PROGRAMS[protocol]([])
        holdings.hear(address, ("eth0",))
        assert holdings.take_programs()[protocol] != empty
        assert address not in holdings.table.held
        assert due(holdings) == []
        holdings.hear(address, ("eth0",))
        holdings.stop_hearing(address)
        holdings.stop_hearing(address)
        assert holdings.take_programs() == {protocol: empty}
    assert holdings.groups.take()[-1] == Change(False, 7, How.MLD, GROUP)


def test_holding_an_address_ends_the_probing_for_it():
    holdings = Holdings()
    holdings.hear(IPV4_VIP, ("eth0",))
    holdings.hold(IPV4_VIP, ("eth0",), {"eth0"}, NOW)
    assert holdings.table.probed == {}
    holdings.hear(IPV4_VIP, ("eth0",))
    assert holdings.table.probed == {}
    holdings.drop(IPV4_VIP)
    assert holdings.take_programs() == {ETH_P_ARP: PROGRAMS[ETH_P_ARP]([])}
