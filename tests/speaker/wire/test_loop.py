"""The loop of the wire process: each order finds the part that takes it, and BFD is loaded when there is a session."""

import socket
import subprocess
import sys
import time
from collections import Counter

import pytest

from speaker.wire.codec import encode
from speaker.wire.io.link import PACKAGE_ROOT
from speaker.wire.io.loop import Wire
from speaker.wire.messages import (
    Bfd,
    BfdChanges,
    BfdSession,
    Done,
    Order,
    Permit,
    Stop,
    WireReport,
    Withdraw,
    decode_report,
)
from speaker.wire.share import LOOK_SECONDS, PAUSE_SECONDS


class Agent:
    """The other end of a loop that this test turns by hand."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(1)
        self.wire = Wire(theirs, lambda _: None)
        self.timeout = 0.0
        self.told: list[tuple[int, WireReport]] = []

    def order(self, sequence: int, order: Order) -> None:
        self.socket.send(encode(order, sequence))

    def turn(self, times: int = 4) -> None:
        for _ in range(times):
            self.wire._poll.wait(0)
            self.timeout = self.wire._turn()

    def reports(self) -> list[tuple[int, WireReport]]:
        """All so far, but the interfaces of this machine."""
        self.socket.setblocking(False)
        try:
            while True:
                self.told.append(decode_report(self.socket.recv(1 << 16)))
        except BlockingIOError:
            pass
        return [one for one in self.told if type(one[1]).__name__ != "Interfaces"]

    def close(self) -> None:
        self.wire.close()
        self.socket.close()


@pytest.fixture
def agent():
    made = Agent()
    yield made
    made.close()


def test_every_order_is_taken_by_one_and_no_two_parts_take_the_same(agent):
    assert set(agent.wire._orders) == set(Order.__args__)
    taken = Counter(kind for part in agent.wire._parts for kind in part.orders)
    assert set(taken.values()) == {1}
    assert not taken.keys() & {Permit, Stop, Bfd}


def test_with_nothing_to_do_it_sleeps_until_the_counters_are_due(agent):
    agent.turn(20)
    assert 3 < agent.timeout <= 5


def test_an_order_makes_it_turn_at_once_until_it_is_carried_out(agent):
    agent.turn(20)
    agent.order(1, Withdraw(tuple(f"192.0.2.{number}" for number in range(40))))
    agent.turn(1)
    assert agent.timeout == 0
    agent.turn()
    assert (1, Done()) in agent.reports()
    assert agent.timeout > 1


def test_while_it_takes_much_of_a_core_it_is_one_process_among_others(agent, monkeypatch):
    classes, used = [], time.process_time()
    monkeypatch.setattr("speaker.wire.io.loop.become_one_of_many", lambda: classes.append("one of many"))
    monkeypatch.setattr("speaker.wire.io.loop.become_real_time", lambda: classes.append("before all others"))
    monkeypatch.setattr("speaker.wire.io.loop.time.process_time", lambda: used)
    time.sleep(LOOK_SECONDS)
    used += 60.0
    agent.turn(1)
    assert classes == ["one of many"]
    time.sleep(PAUSE_SECONDS + LOOK_SECONDS)
    agent.turn(1)
    assert classes == ["one of many", "before all others"]


def test_no_bfd_sessions_are_confirmed_without_loading_bfd_and_the_first_one_loads_it(agent):
    agent.order(1, Bfd({}))
    agent.turn()
    assert agent.reports() == [(1, Done())]
    assert len(agent.wire._parts) == 2
    agent.order(2, Bfd({"tor": BfdSession("no address")}))
    agent.order(3, Bfd({}))
    agent.turn()
    assert len(agent.wire._parts) == 3
    kinds = [(sequence, type(report)) for sequence, report in agent.reports()[1:]]
    assert [(2, Done), (3, Done)] == [one for one in kinds if one[1] is Done]
    assert (0, BfdChanges) in kinds


def test_it_ends_when_all_parts_have_left(agent):
    agent.order(1, Permit(time.clock_gettime(time.CLOCK_BOOTTIME) + 60))
    agent.order(2, Stop())
    assert agent.wire.run() == 0
    assert agent.reports()[-1] == (2, Done())
    assert not agent.wire._permit.is_valid()


def test_it_ends_when_the_agent_is_gone(agent):
    agent.socket.close()
    assert agent.wire.run() == 1


def test_a_process_that_was_just_started_has_no_bfd():
    code = f"import sys; sys.path.insert(0, {str(PACKAGE_ROOT)!r}); import speaker.wire.io.loop; print(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", code]
    imported = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in imported if name.startswith("speaker.wire.bfd")]
