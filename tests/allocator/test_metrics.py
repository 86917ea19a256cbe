"""What the allocator counts: addresses by state, Services by what they lack, and how long things take."""

import time
from typing import Any

import pytest

from allocator.io.controller import Controller
from allocator.io.metrics import AllocatorMetrics, Snapshot
from allocator.io.writer import Writer
from allocator.release.barrier import Mark
from allocator.release.speakers import Liveness
from allocator.status.states import AddressStates, state_of
from allocator.stopwatch import Stopwatch
from crds.conditions import ConditionType, Reason
from crds.meta import Condition
from crds.observation import Observation
from kube.process.io.prometheus import MOST_NAMES, OTHERS
from kube.resource import SERVICES
from tests.allocator.build import address, claim, pool, pools, service_body
from tests.allocator.cluster import EDGE, User, allocating, speaking
from tests.allocator.fakeapi import WEB, Allocator, FakeApi


def condition(kind: ConditionType, holds: bool, reason: Reason) -> Condition:
    return Observation(kind, holds, reason, "").condition(None, "2026-03-01T00:00:00Z", 1)


ANNOUNCED = condition(ConditionType.Announced, True, Reason.Announcing)
SILENT = condition(ConditionType.Announced, False, Reason.NoSpeaker)
CONFLICT = condition(ConditionType.Conflicted, True, Reason.AddressConflict)
NO_CONFLICT = condition(ConditionType.Conflicted, False, Reason.AddressConflict)


def value(metrics: AllocatorMetrics, name: str, **labels: str) -> float | None:
    return metrics.families.registry.get_sample_value(name, labels)


@pytest.mark.parametrize(
    ("conditions", "state"),
    [
        ([], ""),
        ([ANNOUNCED], "Announced"),
        ([SILENT], "NoSpeaker"),
        ([ANNOUNCED, CONFLICT], "Conflicted"),
        ([ANNOUNCED, NO_CONFLICT], "Announced"),
    ],
)
def test_the_state_of_an_address_is_what_its_record_says(conditions: list[Condition], state: str) -> None:
    assert state_of(claim(), conditions) == state
    assert state_of(claim(releasing=True), conditions) == "Releasing"


def test_an_address_is_in_one_state_at_a_time_and_in_none_when_it_is_gone() -> None:
    states = AddressStates()
    other = claim(of="192.0.2.11")
    for one in (claim(), other):
        states.found(one, [SILENT])
    assert states.counts() == {("edge", "NoSpeaker"): 2}
    states.found(claim(), [ANNOUNCED])
    assert states.counts() == {("edge", "NoSpeaker"): 1, ("edge", "Announced"): 1}
    states.forget(other.address)
    states.found(claim(), [])
    assert states.counts() == {}


def test_a_service_is_measured_from_when_it_lacks_an_address_to_when_it_shows_one() -> None:
    stopwatch = Stopwatch()
    assert stopwatch.seen(WEB, lacks=True, now=1.0) is None
    assert stopwatch.seen(WEB, lacks=True, now=2.0) is None
    assert stopwatch.seen(WEB, lacks=False, now=4.0) == 3.0
    assert stopwatch.seen(WEB, lacks=False, now=5.0) is None, "and once"
    stopwatch.seen(WEB, lacks=True, now=6.0)
    stopwatch.forget(WEB)
    assert stopwatch.seen(WEB, lacks=False, now=7.0) is None


def test_services_that_lack_an_address_are_counted_by_what_they_lack(api: FakeApi) -> None:
    for number in range(3):
        api.put_service(service_body(f"web-{number}"))
    allocator = Allocator(api, pools(pool("edge", "192.0.2.10")))
    allocator.run()
    metrics = AllocatorMetrics()
    metrics.show(Snapshot(allocator.assigner))
    assert value(metrics, "berth_services_pending", reason="PoolExhausted") == 2
    assert value(metrics, "berth_services_pending", reason="NotWritten") == 0
    assert value(metrics, "berth_pool_addresses_free", pool="edge", family="IPv4") == 0


def test_a_service_that_has_enough_and_waits_for_more_lacks_nothing(api: FakeApi) -> None:
    api.put_service(service_body("web", policy="PreferDualStack", families=["IPv4", "IPv6"]))
    api.put_service(service_body("first", policy="SingleStack", families=["IPv6"], created="2025-01-01T00:00:00Z"))
    allocator = Allocator(api, pools(pool("edge", "192.0.2.10"), pool("six", "2001:db8::1")))
    allocator.run()
    assert len(allocator.assigner.waiting) == 1
    assert sum(allocator.assigner.pending().values()) == 0


def test_a_service_whose_status_or_record_is_refused_counts_as_pending(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, pools(pool("edge", "192.0.2.10")))
    allocator.run()
    queue = allocator.assigner.queue
    assert allocator.assigner.pending()["NotWritten"] == 0
    for key in (WEB, address("192.0.2.10")):
        queue.add(key)
        queue.take(0.0)
        queue.failed(key, 0.0, 0.5)
        assert allocator.assigner.pending()["NotWritten"] == 1
        queue.add(key)
        queue.take(1.0)
        queue.done(key)
        assert allocator.assigner.pending()["NotWritten"] == 0


def test_the_leader_shows_addresses_releases_and_speakers_and_a_standby_nothing(api: FakeApi) -> None:
    allocator = Allocator(api, pools(pool("edge", "192.0.2.10")))
    for of, known_at in (("192.0.2.10", 40.0), ("192.0.2.11", 70.0)):
        allocator.assigner.marks[address(of)] = Mark(address(of), "a1", 7, known_at=known_at)
    metrics = AllocatorMetrics()
    speakers = {Liveness.ALIVE: 2, Liveness.SILENT: 1}
    metrics.show(Snapshot(allocator.assigner, {("edge", "NoSpeaker"): 4}, speakers, 1, now=100.0))
    assert value(metrics, "berth_addresses", pool="edge", state="NoSpeaker") == 4
    assert value(metrics, "berth_releases_pending") == 2
    assert value(metrics, "berth_oldest_release_seconds") == 60
    assert value(metrics, "berth_speakers", state="Silent") == 1
    assert value(metrics, "berth_speakers", state="Stopped") == 0
    assert value(metrics, "berth_speakers_without_promise") == 1
    metrics.show(None)
    assert value(metrics, "berth_addresses", pool="edge", state="NoSpeaker") is None
    assert value(metrics, "berth_pool_addresses", pool="edge", family="IPv4") is None
    assert value(metrics, "berth_oldest_release_seconds") == 0


def test_pools_beyond_a_number_are_counted_together(api: FakeApi) -> None:
    many = [pool(f"pool-{number:04}", f"10.{number // 256}.{number % 256}.0/30") for number in range(MOST_NAMES + 3)]
    allocator = Allocator(api, pools(*many))
    metrics = AllocatorMetrics()
    metrics.show(Snapshot(allocator.assigner, {(one.metadata.name, "Announced"): 2 for one in many}))
    assert value(metrics, "berth_addresses", pool="pool-0000", state="Announced") == 2
    assert value(metrics, "berth_addresses", pool=OTHERS, state="Announced") == 6
    assert value(metrics, "berth_pool_addresses", pool=OTHERS, family="IPv4") == 12
    assert value(metrics, "berth_addresses", pool=f"pool-{MOST_NAMES:04}", state="Announced") is None


async def leads(controller: Controller) -> bool:
    return controller.assigner is not None


@pytest.mark.slow
@pytest.mark.asyncio
async def test_what_happens_to_a_service_is_measured_and_its_address_counted_by_state(user: User) -> None:
    began = time.monotonic()
    await user.pool("edge", EDGE)
    async with allocating(user.server) as controller, speaking(user, "node-a") as (speaker,):
        await user.until(lambda: leads(controller), "it leads")
        await user.service("web")
        await user.until_addresses("web", "192.0.2.10")
        metrics = controller.metrics

        async def is_(state: str) -> bool:
            metrics.show(controller.snapshot())
            return value(metrics, "berth_addresses", pool="edge", state=state) == 1

        assert value(metrics, "berth_allocation_seconds_count") == 1
        assert 0 < (value(metrics, "berth_allocation_seconds_sum") or 0) < time.monotonic() - began
        await user.until(lambda: is_("NoAdvertisement"), "nothing announces it")
        await speaker.report(announcements={"192.0.2.10": {"protocols": ["Layer2"], "interfaces": ["eth0"]}})
        await user.until(lambda: is_("Announced"), "a node does")
        await user.client.delete(SERVICES, "web", namespace="default")
        await user.until_gone("web")
        metrics.show(controller.snapshot())
        assert value(metrics, "berth_release_seconds_count") == 1
        assert value(metrics, "berth_addresses", pool="edge", state="Announced") is None


def test_a_watch_that_lags_behind_our_own_write_measures_nothing_twice(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    before = api.service(WEB)
    allocator = Allocator(api, pools(pool("edge", "192.0.2.10")))
    metrics = AllocatorMetrics()
    client: Any = None
    writer = Writer(client, allocator.assigner, metrics, concurrency=1, may_write=lambda: True, notify=lambda _: None)
    writer.measure(WEB)
    allocator.run()
    writer.measure(WEB)
    allocator.assigner.service_seen(before)
    writer.measure(WEB)
    allocator.assigner.service_seen(api.service(WEB))
    writer.measure(WEB)
    assert value(metrics, "berth_allocation_seconds_count") == 1
