"""Which addresses are news when a node reports."""

from allocator.release.speakers import Announcement
from allocator.status.reports import Announcers
from tests.allocator.build import address

VIP = address("192.0.2.10")
ETH0 = Announcement(("Layer2",), ("eth0",))


def test_a_report_says_for_which_addresses_there_is_news() -> None:
    announcers = Announcers()
    assert announcers.update("n1", {"192.0.2.10": ETH0, "192.0.2.11": ETH0}) == {"192.0.2.10", "192.0.2.11"}
    assert announcers.update("n1", {"192.0.2.10": ETH0}) == {"192.0.2.11"}
    assert announcers.update("n2", {"192.0.2.10": ETH0}) == {"192.0.2.10"}
    assert sorted(announcers.of(VIP)) == ["n1", "n2"]
    assert announcers.update("n1", {}) == {"192.0.2.10"}
    assert sorted(announcers.of(VIP)) == ["n2"]
