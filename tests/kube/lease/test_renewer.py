import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from kube.errors import ApiError
from kube.io.client import Client
from kube.lease.io.renewer import LeaseRenewer, Renewal
from tests.kube.leaseserver import LeaseServer
from tests.virtual import now, run_virtual


def renewer(
    server: LeaseServer,
    holder: str = "i1",
    seen: list[Renewal] | None = None,
    boottime: Callable[[], float] = lambda: 0.0,
) -> LeaseRenewer:
    return LeaseRenewer(
        cast(Client, server.client()),
        "ns",
        "berth-speaker-n1",
        holder,
        duration_seconds=6,
        renew_seconds=2.0,
        labels={"berth.dev/node": "n1"},
        on_renewed=None if seen is None else seen.append,
        boottime=boottime,
    )


def test_the_lease_is_created_with_labels_and_then_renewed_each_period() -> None:
    async def main() -> None:
        server, seen = LeaseServer(), list[Renewal]()
        one = renewer(server, seen=seen)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(one.run())
            await asyncio.sleep(20)
            task.cancel()
        stored = server.objects["berth-speaker-n1"]
        assert stored["metadata"]["labels"] == {"berth.dev/node": "n1"}
        assert stored["spec"]["holderIdentity"] == "i1"
        assert stored["spec"]["leaseDurationSeconds"] == 6
        pauses = [later[0] - earlier[0] for earlier, later in zip(server.writes, server.writes[1:], strict=False)]
        assert all(1.7 <= pause <= 2.1 for pause in pauses)
        assert 9 <= len(seen) <= 12
        assert one.last_renewal == seen[-1]

    run_virtual(main)


def test_a_renewal_counts_from_when_it_was_sent() -> None:
    async def main() -> None:
        server = LeaseServer()
        server.latency = 0.4
        one = renewer(server)
        await one.renew()  # looks first
        began = now()
        await one.renew()
        assert one.last_renewal is not None
        assert one.last_renewal.sent_monotonic == began
        assert now() >= began + 0.8

    run_virtual(main)


def test_an_outage_shows_in_the_last_renewal_only_and_ends_soon_after_the_server_is_back() -> None:
    async def main() -> None:
        server = LeaseServer()
        one = renewer(server)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(one.run())
            await asyncio.sleep(10)
            server.is_down = True
            await asyncio.sleep(30)
            assert one.last_renewal is not None
            assert one.last_renewal.sent_monotonic < now() - 28
            server.is_down = False
            await asyncio.sleep(2.6)
            assert one.last_renewal.sent_monotonic > now() - 2.6
            task.cancel()

    run_virtual(main)


def test_a_renewal_whose_answer_is_lost_counts_once_it_is_read_back_and_from_when_it_was_sent() -> None:
    async def main() -> None:
        server = LeaseServer()
        one = renewer(server)
        await one.renew()
        server.loses_answers = True
        lost = now()
        with pytest.raises(ApiError):
            await one.renew()
        server.loses_answers = False
        server.refuses_writes = True
        await asyncio.sleep(1)
        with pytest.raises(ApiError):
            await one.renew()
        assert one.last_renewal is not None
        assert one.last_renewal.sent_monotonic == lost

    run_virtual(main)


def test_a_renewal_that_was_under_way_for_long_does_not_arrive_after_a_later_one() -> None:
    async def main() -> None:
        server = LeaseServer()
        one = renewer(server)
        await one.renew()
        server.holds_writes = True
        with pytest.raises(TimeoutError):
            await one.renew()
        server.holds_writes = False
        await one.renew()
        stored = server.objects["berth-speaker-n1"]["metadata"]["resourceVersion"]
        assert server.let_go() == ["Conflict"]
        assert server.objects["berth-speaker-n1"]["metadata"]["resourceVersion"] == stored

    run_virtual(main)


def test_each_renewal_is_sent_after_the_one_before_it_is_known_to_have_arrived() -> None:
    """With a server that takes the writes and never answers, the Lease shows one renewal and no more."""

    async def main() -> None:
        server = LeaseServer()
        one = renewer(server)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(one.run())
            await asyncio.sleep(10)
            server.latency = 3.0  # longer than a renewal waits
            before = len(server.writes)
            await asyncio.sleep(60)
            assert len(server.writes) <= before + 1
            task.cancel()

    run_virtual(main)


def test_somebody_who_needs_a_renewal_gets_one_that_was_sent_later_and_without_delay() -> None:
    async def main() -> None:
        server = LeaseServer()
        clock = [500.0]
        one = renewer(server, boottime=lambda: clock[0])
        async with asyncio.TaskGroup() as group:
            task = group.create_task(one.run())
            await asyncio.sleep(0.005)  # the first one is under way
            clock[0] = 501.0
            began = now()
            renewal = await one.renewed_since(500.5)
            assert renewal.sent_boottime == 501.0
            assert now() - began < 0.3
            task.cancel()

    run_virtual(main)


def test_a_deleted_lease_is_made_again() -> None:
    async def main() -> None:
        server = LeaseServer()
        one = renewer(server)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(one.run())
            await asyncio.sleep(5)
            server.delete("berth-speaker-n1")
            await asyncio.sleep(4)
            assert server.objects["berth-speaker-n1"]["spec"]["holderIdentity"] == "i1"
            task.cancel()

    run_virtual(main)


def test_a_label_that_somebody_took_off_is_written_with_the_next_renewal() -> None:
    async def main() -> None:
        server = LeaseServer()
        one = renewer(server)
        await one.renew()
        server.objects["berth-speaker-n1"]["metadata"]["labels"] = {"theirs": "kept"}
        await one.renew()
        assert server.objects["berth-speaker-n1"]["metadata"]["labels"] == {"theirs": "kept", "berth.dev/node": "n1"}

    run_virtual(main)


def test_a_released_lease_has_no_holder_and_another_holders_lease_is_left_alone() -> None:
    async def main() -> None:
        server = LeaseServer()
        first, second = renewer(server, "i1"), renewer(server, "i2")
        await first.renew()
        await second.renew()
        await first.release()
        assert server.objects["berth-speaker-n1"]["spec"]["holderIdentity"] == "i2"
        await second.release()
        assert server.objects["berth-speaker-n1"]["spec"]["holderIdentity"] == ""

    run_virtual(main)


def test_one_that_finds_a_successor_renews_no_more_and_one_that_starts_takes_the_lease() -> None:
    """Else two machines of one name would give each other the look of contact for ever."""

    async def main() -> None:
        server = LeaseServer()
        seen: list[Renewal] = []
        first, second = renewer(server, "i1", seen), renewer(server, "i2")
        await first.renew()
        await second.renew()
        for _ in range(3):
            with pytest.raises(ApiError):
                await first.renew()
        assert len(seen) == 1
        assert server.objects["berth-speaker-n1"]["spec"]["holderIdentity"] == "i2"
        await second.renew()

    run_virtual(main)
