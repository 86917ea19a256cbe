"""A program at clsact that others took away, or came to stand before, is put back; one that a link holds stays."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lab.net.segment import Segment
from speaker.wire.io.poll import Poll
from speaker.wire.neighbours.filter import ETH_P_ARP, ETH_P_IPV6
from speaker.wire.neighbours.io.kernel import LOOK_SECONDS, KernelAnswers
from speaker.wire.neighbours.io.port import Counters
from speaker.wire.neighbours.table import Table
from tests.speaker.wire.neighbours.bpf.beside import ACCEPT, MOST_LINKS, Ingress
from tests.speaker.wire.neighbours.bpf.test_attach import killed
from tests.speaker.wire.neighbours.bpf.test_on_links import VIP, Client

pytestmark = pytest.mark.root


class Kept:
    """What the kernel answers on a host's eth0, driven by hand."""

    def __init__(self, ingress: Ingress, client: Client) -> None:
        self.ingress = ingress
        self.client = client
        self._poll = Poll()
        table = Table()
        table.hold(VIP, ["eth0"])
        counters = {"eth0": {protocol: Counters() for protocol in (ETH_P_ARP, ETH_P_IPV6)}}
        with ingress.host.entered():
            self.kernel = KernelAnswers(self._poll, table, counters, is_wanted=True)
        self.kernel.set_deadline(time.clock_gettime(time.CLOCK_BOOTTIME) + 60)

    def begin(self) -> None:
        with self.ingress.host.entered():
            for _ in self.kernel.open("eth0", self.ingress.index, self.ingress.host.mac, [[VIP]]):
                pass

    def look(self, now: float) -> None:
        with self.ingress.host.entered():
            for _ in self.kernel.look(now, [[VIP]]):
                pass

    def answers(self) -> bool:
        return self.client.arp() == self.ingress.host.mac

    def close(self) -> None:
        with self.ingress.host.entered():
            self.kernel.shut()
        self._poll.close()


@pytest.fixture
def kept(segment: Segment) -> Iterator[Kept]:
    with ExitStack() as stack:
        node, client = segment.hosts[:2]
        made = Kept(Ingress(node, client, stack), Client(client))
        stack.callback(made.close)
        yield made


@pytest.fixture
def at_clsact(kept: Kept) -> Iterator[Kept]:
    """No room is left at tcx."""
    with ExitStack() as stack:
        for _ in range(MOST_LINKS):
            stack.enter_context(kept.ingress.link(kept.ingress.program()))
        kept.begin()
        assert kept.answers()
        yield kept


def test_what_a_killed_process_left_is_taken_away_also_where_nothing_is_announced_any_more(segment: Segment) -> None:
    with ExitStack() as stack:
        ingress = Ingress(segment.hosts[0], segment.hosts[1], stack)
        killed(ingress, "attach_clsact")
        assert ingress.names()
        kept = Kept(ingress, Client(segment.hosts[1]))
        stack.callback(kept.close)
        assert ingress.names() == []


def test_a_link_is_not_looked_after(kept: Kept) -> None:
    kept.begin()
    assert kept.answers()
    assert kept.kernel.deadline() is None


def test_a_filter_that_somebody_took_away_is_put_back(at_clsact: Kept) -> None:
    assert at_clsact.kernel.deadline() is not None
    at_clsact.ingress.host.run(*["tc", "filter", "del", "dev", "eth0", "ingress"])
    assert not at_clsact.answers()
    at_clsact.look(100.0)
    assert at_clsact.answers()
    assert at_clsact.kernel.deadline() == 100.0 + LOOK_SECONDS


def test_so_is_one_whose_queueing_discipline_went(at_clsact: Kept) -> None:
    at_clsact.ingress.host.run(*["tc", "qdisc", "del", "dev", "eth0", "clsact"])
    at_clsact.look(100.0)
    assert at_clsact.answers()


def test_one_that_came_before_ours_and_lets_no_other_see_is_behind_it_after_a_look(at_clsact: Kept) -> None:
    at_clsact.ingress.filter(at_clsact.ingress.program(ACCEPT), 1)
    assert not at_clsact.answers()
    at_clsact.look(100.0)
    assert at_clsact.answers()
    assert at_clsact.ingress.names()[-1] == "other-1"


def test_where_it_can_not_be_put_back_the_process_answers_and_that_is_told(at_clsact: Kept) -> None:
    at_clsact.kernel.has_news = False
    at_clsact.ingress.host.run("ip", "link", "delete", "eth0")
    at_clsact.look(100.0)
    assert at_clsact.kernel.answerer("eth0")[0] is False
    assert "interface is gone" in at_clsact.kernel.answerer("eth0")[1]
    assert at_clsact.kernel.has_news
    assert at_clsact.kernel.deadline() is None
