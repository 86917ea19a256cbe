"""The writes of the report: by the budget, but for what is urgent; what a predecessor left is taken over, or goes."""

import itertools

import pytest

from crds.speakerreport import MOST_ENTRIES, WRITES_PER_SECOND
from speaker.own.entries import announcement, bgp_session
from speaker.own.reporting import COALESCE_SECONDS, COUNTS_SECONDS, ROUTINE_SECONDS, SPARE_SECONDS, ReportWriter
from speaker.own.requests import Delete, Deleted, Failed, Failure, Found, Kind, Look, Request, Target, Write, Wrote
from speaker.own.status import StatusDraft
from tests.speaker.own.store import Stores, outcome

MANY_STEPS = 3000


class Process:
    """One process that is registered. `sent`: when each request was made."""

    def __init__(self, stores: Stores, incarnation: str = "one", *, nodes: int = 1) -> None:
        self.stores = stores
        self.now = 1000.0
        self.draft = StatusDraft()
        self.writer = ReportWriter(incarnation, self.draft.report, self.draft.refusals)
        self.writer.nodes = nodes
        self.sent: list[tuple[float, Request]] = []
        if not stores.speaker.uid:
            stores.speaker.create()
        stores.speaker.status["incarnation"] = incarnation
        self.writer.begin("node")

    @property
    def writes(self) -> list[tuple[float, int]]:
        """When which slice was written."""
        return [(when, one.target.number) for when, one in self.sent if isinstance(one, Write)]

    def announce(self, *addresses: str, by: str = "bgp") -> "Process":
        how = {"peers": ["tor"]} if by == "bgp" else {"interfaces": ["eth0"]}
        for address in addresses:
            self.draft.announcements.put(address, announcement("2026-01-02T03:04:05Z", **how))
        return self

    def withdraw(self, *addresses: str) -> "Process":
        for address in addresses:
            self.draft.announcements.drop(address)
        return self

    def begin(self) -> Request:
        """The next request, without an answer."""
        for _ in range(MANY_STEPS):
            request = self.writer.next_request(self.now)
            if request is not None:
                self.sent.append((self.now, request))
                return request
            deadline = self.writer.deadline()
            assert deadline is not None
            self.now = max(self.now, deadline)
        raise AssertionError("there is no request")

    def tell(self, told) -> None:
        match told:
            case Found():
                self.writer.found(told)
            case Wrote():
                self.writer.wrote(told)
            case Deleted():
                self.writer.deleted(told)
            case Failed():
                self.writer.failed(told, self.now)

    def run(self, seconds: float = 36000.0) -> "Process":
        end = self.now + seconds
        for _ in range(MANY_STEPS):
            request = self.writer.next_request(self.now)
            if request is not None:
                self.sent.append((self.now, request))
                self.tell(self.stores.answer(request))
                continue
            deadline = self.writer.deadline()
            if deadline is None or deadline > end:
                self.now = end
                return self
            self.now = max(self.now, deadline)
        raise AssertionError("it does not come to rest")


@pytest.fixture
def stores() -> Stores:
    return Stores()


def addresses(count: int, first: int = 0) -> list[str]:
    return [f"10.0.{n >> 8}.{n & 255}" for n in range(first, first + count)]


def test_a_new_report_is_made_in_order_and_slice_0_is_always_there(stores) -> None:
    process = Process(stores).run()
    assert [store.status for store in stores.slices] == [{"incarnation": "one"}]
    process.announce(*addresses(250)).run()
    assert stores.announcements.keys() == set(addresses(250))
    assert [len(store.status.get("announcements", {})) for store in stores.slices] == [0, 100, 100, 50]
    assert process.writer.deadline() is None


def test_nothing_is_written_before_the_registration_or_after_its_end(stores) -> None:
    process = Process(stores).run()
    process.writer.end()
    process.announce("10.0.0.1", by="layer2")
    assert process.writer.next_request(process.now) is None
    assert process.writer.deadline() is None


def test_one_change_is_one_write_of_a_few_bytes(stores) -> None:
    process = Process(stores).announce(*addresses(950)).run()
    process.sent.clear()
    process.announce("10.9.9.9").run()
    ((_, write),) = process.sent
    assert isinstance(write, Write)
    assert write.status == {"announcements": {"10.9.9.9": process.draft.announcements.get("10.9.9.9")}}


def test_what_begins_on_layer_2_is_told_at_once_however_large_the_cluster_is(stores) -> None:
    process = Process(stores, nodes=5000).run()
    began = process.now
    process.announce(*addresses(250), by="layer2").run(1.0)
    assert len(stores.announcements) == 250
    assert {when for when, _ in process.writes if when >= began} == {began + COALESCE_SECONDS}


@pytest.mark.parametrize("nodes", [1, 3, 100, 500])
def test_routine_writes_keep_the_budget_of_the_cluster(stores, nodes) -> None:
    """In all, no more than WRITES_PER_SECOND, when every node has as much to say."""
    process = Process(stores, nodes=nodes).announce(*addresses(1000)).run()
    times = [when for when, _ in process.writes]
    interval = max(ROUTINE_SECONDS, nodes / WRITES_PER_SECOND)
    assert all(later - earlier >= interval - 1e-6 for earlier, later in itertools.pairwise(times))
    assert times[-1] - times[0] <= len(times) * 2 * interval


def test_each_process_writes_at_a_moment_of_its_own() -> None:
    """What all nodes have to say at the same time is spread over the time that the budget gives to all."""
    waits = []
    for number in range(200):
        process = Process(Stores(), f"incarnation-{number}", nodes=200).run()
        asked = process.now
        process.announce("10.0.0.1").run()
        waits.append(process.writes[-1][0] - asked)
    assert max(waits) <= 200 / WRITES_PER_SECOND
    within_a_second = max(sum(1 for one in waits if second <= one < second + 1) for second in range(10))
    assert within_a_second < 2 * WRITES_PER_SECOND
    assert min(waits) < 1.0


def test_what_only_counts_is_written_each_half_minute_at_most(stores) -> None:
    process = Process(stores)
    for number in range(100):
        session = bgp_session("tor", None, "Established", routes_sent=number)
        process.draft.set("bgpSessions", [session])
        process.run(1.0)
    assert 2 <= sum(1 for _, number in process.writes if number == 1) <= 100 / COUNTS_SECONDS + 2
    process.run()
    assert stores.slice(1).status["bgpSessions"][0]["routesSent"] == 99


def test_a_slice_that_always_changes_keeps_no_other_waiting(stores) -> None:
    process = Process(stores, nodes=100).run()
    process.announce(*addresses(101)).run(0.0)
    for number in range(40):
        process.draft.set("heard", [{"node": f"n{number}"}])
        process.run(1.0)
    assert {1, 2} <= {number for _, number in process.writes}


def test_a_successor_takes_over_the_slices_and_deletes_what_it_does_not_need(stores) -> None:
    Process(stores, "before").announce(*addresses(350)).run()
    assert len(stores.slices) == 5
    process = Process(stores, "one")
    assert stores.announcements == {}
    process.announce(*addresses(120, first=100)).run(SPARE_SECONDS)
    assert stores.announcements.keys() == set(addresses(120, first=100))
    assert not any(isinstance(one, Delete) for _, one in process.sent)
    process.run()
    assert len(stores.slices) == 3
    assert stores.announcements.keys() == set(addresses(120, first=100))


def test_what_is_needed_again_while_it_is_deleted_is_made_again(stores) -> None:
    process = Process(stores).announce(*addresses(150)).run()
    process.withdraw(*addresses(50, first=100))
    request = process.begin()
    while not isinstance(request, Delete):
        process.tell(stores.answer(request))
        request = process.begin()
    process.announce(*addresses(50, first=100))
    process.tell(stores.answer(request))
    process.run()
    assert stores.announcements.keys() == set(addresses(150))


@pytest.mark.parametrize("failure", [Failure.OTHER, Failure.CONFLICT, Failure.GONE])
@pytest.mark.parametrize("arrives", [True, False])
def test_a_write_that_failed_is_made_again_whatever_became_of_it(stores, failure, arrives) -> None:
    process = Process(stores).announce(*addresses(150)).run()
    process.withdraw("10.0.0.7").announce("10.9.9.9")
    write = process.begin()
    assert isinstance(write, Write)
    if arrives:
        stores.answer(write)
    if failure is Failure.GONE:
        stores.at(write.target).delete()
    process.tell(outcome(write, failure))
    process.run()
    assert stores.announcements.keys() == {*addresses(150), "10.9.9.9"} - {"10.0.0.7"}


def test_what_somebody_else_deletes_is_made_again_with_the_next_change(stores) -> None:
    process = Process(stores).announce(*addresses(250)).run()
    stores.slice(2).delete()
    process.withdraw("10.0.0.150").run()
    assert stores.announcements.keys() == set(addresses(250)) - {"10.0.0.150"}


def test_a_slice_that_is_refused_goes_on_without_what_is_named(stores) -> None:
    process = Process(stores).announce(*addresses(5))
    request = process.begin()
    while not (isinstance(request, Write) and "announcements" in request.status):
        process.tell(stores.answer(request))
        request = process.begin()
    process.tell(
        outcome(request, Failure.REFUSED, causes={"status.announcements.10.0.0.3.protocols[0]": "Unsupported"})
    )
    process.run()
    assert stores.announcements.keys() == set(addresses(5)) - {"10.0.0.3"}
    assert process.draft.refusals.told() == ["SpeakerReport status.announcements.10.0.0.3.protocols[0]: Unsupported"]


def test_after_another_registration_everything_is_looked_at_anew(stores) -> None:
    process = Process(stores).announce(*addresses(150)).run()
    process.writer.end()
    stores.slice(1).delete()
    stores.slice(2).touch()
    process.withdraw("10.0.0.140")
    process.writer.begin("node")
    process.run()
    assert stores.announcements.keys() == set(addresses(150)) - {"10.0.0.140"}


def test_who_was_replaced_leaves_the_report_to_its_successor(stores) -> None:
    old = Process(stores, "old").announce(*addresses(5)).run()
    Process(stores, "new").announce(*addresses(3)).run()
    old.announce("10.9.9.9").run()
    assert stores.announcements.keys() == set(addresses(3))
    assert old.writer.deadline() is None


def test_an_answer_to_what_was_asked_before_a_registration_is_not_believed_after_it(stores) -> None:
    process = Process(stores).announce(*addresses(5)).run()
    process.announce("10.9.9.9")
    write = process.begin()
    process.writer.end()
    process.writer.begin("node")
    process.tell(Failed(write, Failure.OTHER, "no"))
    process.run()
    assert stores.announcements.keys() == {*addresses(5), "10.9.9.9"}
    assert len(stores.slice(1).status["announcements"]) <= MOST_ENTRIES


def test_the_first_look_is_at_slice_0(stores) -> None:
    assert Process(stores).begin() == Look(Target(Kind.REPORT, 0))
