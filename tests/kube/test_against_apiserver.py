"""The client, informer, election and Events against the API server stand-in, over TLS, while it misbehaves."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from kube.errors import AlreadyExists, ApiError, Gone, Invalid, NotFound, Unauthorized, is_precondition_failure
from kube.events.io.recorder import EventRecorder, ObjectRef
from kube.informer.io.informer import Change, Informer, ObjectKey
from kube.informer.store import ChangeKind
from kube.io.client import Client
from kube.lease.io.election import LeaderElection
from kube.lease.io.renewer import LeaseRenewer
from kube.objects import Lease, decode_lease, decode_service
from kube.resource import EVENTS, IPPOOLS, LEASES, SERVICES
from lab.apiserver.server import ApiServer
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

pytestmark = pytest.mark.asyncio

SERVICE = {"spec": {"type": "LoadBalancer", "ports": [{"port": 8765}], "selector": {"app": "example"}}}


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with ApiServer(tmp_path) as server:
        yield server


@pytest_asyncio.fixture
async def client(server: ApiServer) -> AsyncIterator[Client]:
    async with await Client.connect(str(server.kubeconfig_path), user_agent="berth-test") as client:
        yield client


@contextlib.asynccontextmanager
async def background(*mains: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(main) for main in mains]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def a_lease(client: Client, name: str, holder: str = "a") -> None:
    body = {"metadata": {"name": name}, "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15}}
    await client.create(LEASES, body, "default")


async def test_an_object_lives_and_dies_by_our_verbs(client: Client) -> None:
    created = decode_service(await client.create(SERVICES, {"metadata": {"name": "web"}, **SERVICE}, "default"))
    with pytest.raises(AlreadyExists):
        await client.create(SERVICES, {"metadata": {"name": "web"}, **SERVICE}, "default")
    body = {
        "metadata": {"uid": created.metadata.uid, "finalizers": ["berth.dev/x"]},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}},
    }
    raw = await client.merge_patch(SERVICES, "web", body, namespace="default", subresource="status")
    patched = decode_service(raw)
    assert patched.metadata.finalizers == ("berth.dev/x",)
    assert patched.status.load_balancer.ingress[0].ip == "192.0.2.7"
    await client.delete(SERVICES, "web", namespace="default", uid=created.metadata.uid)
    assert decode_service(await client.get(SERVICES, "web", "default")).metadata.is_terminating
    await client.merge_patch(SERVICES, "web", {"metadata": {"finalizers": None}}, namespace="default")
    with pytest.raises(NotFound):
        await client.get(SERVICES, "web", "default")


async def test_failed_preconditions_are_recognised_in_all_their_forms(client: Client) -> None:
    first = decode_service(await client.create(SERVICES, {"metadata": {"name": "web"}, **SERVICE}, "default"))
    await client.merge_patch(SERVICES, "web", {"metadata": {"labels": {"a": "1"}}}, namespace="default")
    stale = {"metadata": {"resourceVersion": first.metadata.resource_version, "labels": {"a": "2"}}}
    other = {"metadata": {"uid": "00000000-0000-0000-0000-000000000000", "labels": {"a": "2"}}}
    attempts = [
        client.merge_patch(SERVICES, "web", stale, namespace="default"),
        client.merge_patch(SERVICES, "web", other, namespace="default"),
        client.delete(SERVICES, "web", namespace="default", uid="00000000-0000-0000-0000-000000000000"),
        client.delete(SERVICES, "web", namespace="default", resource_version=first.metadata.resource_version),
    ]
    for attempt in attempts:
        with pytest.raises(ApiError) as caught:
            await attempt
        assert is_precondition_failure(caught.value), str(caught.value)
    bad = {"status": {"loadBalancer": {"ingress": [{"ip": "nope"}]}}}
    with pytest.raises(Invalid) as refused:
        await client.merge_patch(SERVICES, "web", bad, namespace="default", subresource="status")
    assert not is_precondition_failure(refused.value)


async def test_an_unknown_resource_is_told_from_an_unknown_object(client: Client) -> None:
    with pytest.raises(NotFound) as unknown:
        await client.list(IPPOOLS)  # its CRD is not installed
    assert unknown.value.is_unknown_resource
    with pytest.raises(NotFound) as missing:
        await client.get(SERVICES, "web", "default")
    assert not missing.value.is_unknown_resource


async def test_pages_of_a_long_list_are_one_snapshot(server: ApiServer, client: Client) -> None:
    for number in range(25):
        await a_lease(client, f"l{number:02}")
    first = await client.list_page(LEASES, page_size=10)
    await a_lease(client, "l99")
    second = await client.list_page(LEASES, page_size=100, continue_token=first.continue_token)
    names = [decode_lease(raw).metadata.name for raw in first.items + second.items]
    assert names == [f"l{number:02}" for number in range(25)]
    assert second.resource_version == first.resource_version
    server.forget_history()
    with pytest.raises(Gone):
        await client.list_page(LEASES, continue_token=first.continue_token)
    items, _ = await client.list(LEASES, page_size=7)
    assert len(items) == 26


async def test_an_unknown_token_is_unauthorized(server: ApiServer, tmp_path: Path) -> None:
    path = server.write_kubeconfig(tmp_path / "bad", "no such token")
    async with await Client.connect(str(path), user_agent="t") as client:
        with pytest.raises(Unauthorized):
            await client.list(SERVICES)


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_informer_ends_up_with_what_the_server_has_whatever_happens(
    server: ApiServer, client: Client, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view built from the changes alone equals the server after dropped watches, lost history, errors, restarts."""
    monkeypatch.setattr("kube.backoff.Backoff.delay_seconds", lambda self, attempt, randomness: 0.01)
    rng = random.Random(seed)
    view: dict[ObjectKey, Lease] = {}

    def follow(change: Change[Lease]) -> None:
        assert change.old == view.get(change.key)
        if change.new is None:
            del view[change.key]
        else:
            assert change.kind is (ChangeKind.ADDED if change.old is None else ChangeKind.MODIFIED)
            if change.old is not None:
                assert change.old.metadata.uid == change.new.metadata.uid
                assert int(change.old.metadata.resource_version) < int(change.new.metadata.resource_version)
            view[change.key] = change.new

    informer = Informer(client, LEASES, decode_lease, on_change=follow, page_size=3)
    troubles = [
        server.drop_watches,
        server.end_watches,
        server.forget_history,
        lambda: server.faults.add(method="watch", code=500, count=2),
        lambda: server.faults.add(method="list", code=503, count=2),
        lambda: server.faults.add(method="list", code=410, count=1),
        informer.relist,
    ]
    writer = await Client.connect(str(server.kubeconfig_path), user_agent="writer")
    async with writer, background(informer.run()):
        for step in range(150):
            name = f"l{rng.randrange(8)}"
            with contextlib.suppress(AlreadyExists, NotFound):
                match rng.randrange(4):
                    case 0:
                        await a_lease(writer, name)
                    case 1:
                        await writer.delete(LEASES, name, namespace="default")
                    case _:
                        body = {"spec": {"leaseTransitions": step}}
                        await writer.merge_patch(LEASES, name, body, namespace="default")
            if rng.random() < 0.15:
                rng.choice(troubles)()
            if rng.random() < 0.1:
                await asyncio.sleep(0.02)
        server.faults.clear()
        await server.restart()
        await a_lease(writer, "last")
        items, version = await writer.list(LEASES)
        expected = [decode_lease(raw) for raw in items]
        async with asyncio.timeout(5):
            while int(informer._store.resource_version or 0) < int(version):
                await asyncio.sleep(0.01)
        assert sorted(view.values(), key=lambda one: one.metadata.name) == expected
        assert dict(informer.items) == view


async def test_a_standby_takes_over_at_once_from_a_leader_that_stops(server: ApiServer, client: Client) -> None:
    terms: list[str] = []

    async def lead(name: str) -> None:
        terms.append(name)
        await asyncio.sleep(60)

    def candidate(name: str) -> LeaderElection:
        return LeaderElection(
            client, "kube-system", "berth-allocator", name, lease_duration=3.0, renew_deadline=2.0, retry_period=0.2
        )

    a, b = candidate("a"), candidate("b")
    async with asyncio.TaskGroup() as group, asyncio.timeout(10):
        first = group.create_task(a.run(lambda: lead("a")))
        while not a.is_leader(time.monotonic()):
            await asyncio.sleep(0.01)
        second = group.create_task(b.run(lambda: lead("b")))
        await asyncio.sleep(0.3)
        assert (terms, b.leader) == (["a"], "a")
        stopped = time.monotonic()
        first.cancel()
        while not b.is_leader(time.monotonic()):
            await asyncio.sleep(0.01)
        assert time.monotonic() - stopped < 1.0
        second.cancel()
    stored = decode_lease(await client.get(LEASES, "berth-allocator", "kube-system"))
    assert stored.spec.holder_identity == ""
    assert stored.spec.lease_transitions == 1


async def test_leadership_survives_an_error_and_ends_when_the_server_does_not_answer(
    server: ApiServer, client: Client
) -> None:
    ended = asyncio.Event()

    async def lead() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    election = LeaderElection(
        client, "kube-system", "l", "a", lease_duration=1.2, renew_deadline=0.6, retry_period=0.05
    )
    async with background(election.run(lead)), asyncio.timeout(10):
        while not election.is_leader(time.monotonic()):
            await asyncio.sleep(0.01)
        server.faults.add(method="patch", resource="leases", code=500, count=3)
        server.faults.add(method="patch", resource="leases", code=409, count=1)
        await asyncio.sleep(0.4)
        assert not ended.is_set()
        server.freeze()
        await ended.wait()
        assert not election.is_leader(time.monotonic())
        server.thaw()
        while not election.is_leader(time.monotonic()):
            await asyncio.sleep(0.01)


async def test_events_are_stored_and_counted_up(client: Client) -> None:
    service = decode_service(await client.create(SERVICES, {"metadata": {"name": "web"}, **SERVICE}, "default"))
    ref = ObjectRef("v1", "Service", "web", "default", service.metadata.uid)
    recorder = EventRecorder(client, "berth-allocator", "pod-0")
    for _ in range(3):
        recorder.record(ref, "Warning", "PoolExhausted", "no address is free")
        await recorder.drain(2.0)
    selector = f"involvedObject.uid={service.metadata.uid},involvedObject.kind=Service"
    items, _ = await client.list(EVENTS, namespace="default", field_selector=selector)
    assert len(items) == 1
    assert b'"count":3' in items[0].replace(b" ", b"")


async def test_a_speakers_lease_is_renewed_and_released(client: Client) -> None:
    renewer = LeaseRenewer(
        client,
        "default",
        "berth-speaker-n1",
        "incarnation",
        duration_seconds=6,
        renew_seconds=2.0,
        labels={"app.kubernetes.io/component": "speaker"},
    )
    await renewer.renew()
    await renewer.renew()
    items, _ = await client.list(LEASES, label_selector="app.kubernetes.io/component=speaker")
    lease = decode_lease(items[0])
    assert (lease.spec.holder_identity, lease.spec.lease_duration_seconds) == ("incarnation", 6)
    await renewer.release()
    assert not decode_lease(await client.get(LEASES, "berth-speaker-n1", "default")).spec.holder_identity
