"""Elections in virtual time: several processes, one Lease, and what goes wrong between them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import cast

import pytest

from kube.io.client import Client
from kube.lease.io.election import LeaderElection
from tests.kube.leaseserver import LeaseClient, LeaseServer
from tests.virtual import now, run_virtual


class Candidate:
    """Records when it led; asserts that nobody else did at the same time."""

    leading: set[str]

    def __init__(self, name: str, server: LeaseServer, leading: set[str]) -> None:
        self.name = name
        self.client: LeaseClient = server.client()
        self.election = LeaderElection(cast(Client, self.client), "ns", "berth-allocator", name)
        self.all_leading = leading
        self.terms: list[tuple[float, float | None]] = []
        self.cleanup_seconds = 0.0

    async def lead(self) -> None:
        assert not self.all_leading, f"{self.name} leads beside {self.all_leading}"
        assert self.election.is_leader(now())
        self.all_leading.add(self.name)
        self.terms.append((now(), None))
        try:
            await asyncio.sleep(1e9)
        finally:
            self.all_leading.discard(self.name)
            self.terms[-1] = (self.terms[-1][0], now())
            await asyncio.sleep(self.cleanup_seconds)

    async def run(self) -> None:
        await self.election.run(self.lead)


@contextlib.asynccontextmanager
async def running(*candidates: Candidate) -> AsyncIterator[dict[str, asyncio.Task[None]]]:
    async with asyncio.TaskGroup() as group:
        tasks = {one.name: group.create_task(one.run()) for one in candidates}
        yield tasks
        for task in tasks.values():
            task.cancel()


def cluster(*names: str) -> tuple[LeaseServer, list[Candidate]]:
    server, leading = LeaseServer(), set[str]()
    return server, [Candidate(name, server, leading) for name in names]


def test_one_of_two_leads_and_keeps_leading() -> None:
    async def main() -> None:
        server, (a, b) = cluster("a", "b")
        async with running(a, b):
            await asyncio.sleep(300)
            terms = a.terms + b.terms
            assert len(terms) == 1
            assert terms[0][1] is None
            assert a.election.leader == b.election.leader
            assert server.objects["berth-allocator"]["spec"]["leaseTransitions"] == 0

    run_virtual(main)


def test_a_clean_stop_hands_over_within_a_retry_period_and_after_the_leaders_cleanup() -> None:
    async def main() -> None:
        server, (a, b) = cluster("a", "b")
        a.cleanup_seconds = 5.0
        async with running(a) as first, running(b):
            await asyncio.sleep(30)
            stopped = now()
            first["a"].cancel()
            await asyncio.sleep(60)
            assert a.terms[0][1] == pytest.approx(stopped, abs=0.1)
            assert stopped + 5.0 <= b.terms[0][0] <= stopped + 5.0 + 2.6
            assert server.objects["berth-allocator"]["spec"]["leaseTransitions"] == 1

    run_virtual(main)


def test_a_dead_leader_is_replaced_after_the_lease_and_not_before() -> None:
    async def main() -> None:
        _, (a, b) = cluster("a", "b")
        async with running(a, b):
            await asyncio.sleep(30)
            dead, other = (a, b) if a.terms else (b, a)
            cut = now()
            dead.client.is_cut = True
            await asyncio.sleep(60)
            ended = dead.terms[0][1]
            assert ended is not None
            assert ended <= cut + 10.1, "it leads on after its renew deadline"
            assert cut + 15 - 2.5 <= other.terms[0][0] <= cut + 15 + 3

    run_virtual(main)


def test_when_the_server_is_down_the_leader_stops_and_later_leads_again() -> None:
    async def main() -> None:
        server, (a, b) = cluster("a", "b")
        async with running(a, b):
            await asyncio.sleep(30)
            server.is_down = True
            await asyncio.sleep(60)
            assert a.all_leading == set()
            server.is_down = False
            await asyncio.sleep(30)
            assert len(a.all_leading) == 1

    run_virtual(main)


def test_a_short_outage_costs_no_leadership() -> None:
    async def main() -> None:
        server, (a, b) = cluster("a", "b")
        async with running(a, b):
            await asyncio.sleep(30)
            server.is_down = True
            await asyncio.sleep(5)
            server.is_down = False
            await asyncio.sleep(60)
            assert len(a.terms + b.terms) == 1

    run_virtual(main)


def test_lost_answers_of_renewals_cost_no_leadership() -> None:
    async def main() -> None:
        server, (a, b) = cluster("a", "b")
        async with running(a, b):
            await asyncio.sleep(30)
            server.loses_answers = True
            await asyncio.sleep(5)
            server.loses_answers = False
            await asyncio.sleep(60)
            assert len(a.terms + b.terms) == 1

    run_virtual(main)


def test_a_lease_deleted_by_hand_is_made_again() -> None:
    async def main() -> None:
        server, (a,) = cluster("a")
        async with running(a):
            await asyncio.sleep(30)
            server.delete("berth-allocator")
            await asyncio.sleep(30)
            assert server.objects["berth-allocator"]["spec"]["holderIdentity"] == "a"
            assert len(a.terms) == 1

    run_virtual(main)


def test_leadership_counts_from_when_the_renewal_was_sent() -> None:
    async def main() -> None:
        server, (a,) = cluster("a")
        server.latency = 0.4
        async with running(a):
            await asyncio.sleep(30.1)
            sent = server.writes[-1][0] - server.latency
            assert a.election.is_leader(sent + 9.99)
            assert not a.election.is_leader(sent + 10.01)

    run_virtual(main)


def test_a_lease_taken_by_force_ends_leadership_with_the_next_renewal() -> None:
    async def main() -> None:
        server, (a,) = cluster("a")
        async with running(a):
            await asyncio.sleep(30)
            taken = now()
            body = server.objects["berth-allocator"]
            server.store("berth-allocator", {**body, "spec": {**body["spec"], "holderIdentity": "thief"}})
            await asyncio.sleep(10)
            ended = a.terms[0][1]
            assert ended is not None
            assert ended <= taken + 2.1

    run_virtual(main)


def test_labels_of_others_on_the_lease_survive_renewals() -> None:
    async def main() -> None:
        server, (a,) = cluster("a")
        async with running(a):
            await asyncio.sleep(5)
            server.objects["berth-allocator"]["metadata"]["labels"] = {"team": "x"}
            await asyncio.sleep(10)
            assert server.objects["berth-allocator"]["metadata"]["labels"] == {"team": "x"}

    run_virtual(main)


def test_a_bug_in_the_leader_is_raised_and_the_lease_released() -> None:
    async def main() -> None:
        server = LeaseServer()
        election = LeaderElection(cast(Client, server.client()), "ns", "l", "a")

        async def lead() -> None:
            raise LookupError("a bug")

        with pytest.raises(ExceptionGroup) as caught:
            await election.run(lead)
        assert isinstance(caught.value.exceptions[0], LookupError)
        assert server.objects["l"]["spec"]["holderIdentity"] == ""

    run_virtual(main)


def test_a_leader_that_has_finished_releases_the_lease() -> None:
    async def main() -> None:
        server = LeaseServer()
        election = LeaderElection(cast(Client, server.client()), "ns", "l", "a")

        async def lead() -> None:
            await asyncio.sleep(7)

        await election.run(lead)
        assert server.objects["l"]["spec"]["holderIdentity"] == ""
        assert not election.is_leader(now())

    run_virtual(main)


def test_a_stop_while_the_server_is_down_is_quick() -> None:
    async def main() -> None:
        server, (a,) = cluster("a")
        async with running(a) as tasks:
            await asyncio.sleep(5)
            server.is_down = True
            began = now()
            tasks["a"].cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await tasks["a"]
            assert now() - began <= 3.1

    run_virtual(main)


def test_three_candidates_never_lead_together_whatever_is_cut() -> None:
    """Each is cut off and brought back in turn, for an hour of virtual time; `lead` asserts that it is alone."""

    async def main() -> None:
        _, candidates = cluster("a", "b", "c")
        async with running(*candidates):
            for step in range(120):
                await asyncio.sleep(7 + step % 23)
                one = candidates[step % 3]
                one.client.is_cut = not one.client.is_cut
        assert sum(len(one.terms) for one in candidates) > 10

    run_virtual(main)
