"""The watch of Leases against the API server stand-in: when there is one, and what it brings."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from kube.io.client import Client
from kube.lease.io.renewer import LeaseRenewer
from kube.objects import Lease
from kube.resource import LEASES
from speaker.members.io import leasewatch
from speaker.members.io.leasewatch import LeaseWatch
from speaker.members.liveness import LeaseNeed, Liveness
from tests.speaker.agents import NAMESPACE, Cluster, cluster, eventually
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

pytestmark = pytest.mark.asyncio

DURATION, INTERVAL = 1, 0.25
PEERS = frozenset({"node-b", "node-c"})


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    monkeypatch.setattr(leasewatch, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(leasewatch, "GLANCE_SECONDS", 0.2)
    monkeypatch.setattr(leasewatch, "PACE_SECONDS", 0.0)


class CountingClient(Client):
    """Counts the watches of Leases that are open."""

    watches = 0

    async def watch(self, res: Any, **options: Any) -> Any:
        self.watches += 1
        try:
            async with contextlib.aclosing(super().watch(res, **options)) as events:
                async for event in events:
                    yield event
        finally:
            self.watches -= 1


class Rig:
    """A LeaseWatch of node-a, whose peers' heartbeats come and go as the test likes."""

    def __init__(self, lab: Cluster, client: CountingClient) -> None:
        self.lab = lab
        self._client = client
        self.liveness = Liveness("node-a", duration_seconds=DURATION, renew_seconds=INTERVAL)
        self.liveness.patience_seconds = 0.6
        self.told: list[tuple[str, bool]] = []
        self.listed: list[set[str]] = []
        need = LeaseNeed(self.liveness)
        self.watch = LeaseWatch(
            client,
            NAMESPACE,
            unheard=self.unheard,
            is_needed=lambda now: need.is_there(self.unheard(), now),
            on_lease=self._lease_changed,
            on_listed=self._listed,
        )
        self._renewing: dict[str, asyncio.Task[None]] = {}

    @property
    def is_watching(self) -> bool:
        return self._client.watches > 0

    @property
    def alive(self) -> frozenset[str]:
        return self.liveness.alive(asyncio.get_running_loop().time()) - {"node-a"}

    def unheard(self) -> frozenset[str]:
        return PEERS - self.liveness.heard

    def _lease_changed(self, node: str, lease: Lease | None) -> None:
        """As speaker.core takes it in."""
        if lease is None:
            self.liveness.forget(node)
        else:
            spec, now = lease.spec, asyncio.get_running_loop().time()
            self.liveness.observe(node, spec.holder_identity, spec.renew_time, now)
        self.told.append((node, lease is not None and bool(lease.spec.holder_identity)))

    def _listed(self, nodes: Sequence[str]) -> None:
        self.listed.append(set(nodes))
        self.liveness.forget_others(nodes)

    def hear(self, *nodes: str) -> None:
        self.liveness.hear(frozenset(nodes), frozenset(), asyncio.get_running_loop().time())

    def renew(self, *nodes: str) -> None:
        """These renew their Leases from now on, and no others."""
        for node in [node for node in self._renewing if node not in nodes]:
            self._renewing.pop(node).cancel()
        for node in nodes:
            if node not in self._renewing:
                self._renewing[node] = asyncio.create_task(self._renewer(node).run())

    def _renewer(self, node: str) -> LeaseRenewer:
        return LeaseRenewer(
            self.lab.admin,
            NAMESPACE,
            f"berth-speaker-{node}",
            f"{node}-1",
            duration_seconds=DURATION,
            renew_seconds=INTERVAL,
            labels={"app.kubernetes.io/component": "speaker"},
        )


@contextlib.asynccontextmanager
async def rig(directory) -> AsyncIterator[Rig]:
    async with (
        cluster(directory) as lab,
        await CountingClient.connect(str(lab.server.kubeconfig_path), user_agent="rig") as client,
    ):
        made = Rig(lab, client)
        made.renew("node-a", *PEERS)
        running = asyncio.create_task(made.watch.run())
        try:
            await made.watch.wait_read()
            await eventually(lambda: made.is_watching)  # it is not yet when the list has been read
            yield made
        finally:
            made.renew()
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


async def test_it_rests_while_all_are_heard_and_watches_again_when_one_is_not(tmp_path) -> None:
    async with rig(tmp_path) as made:
        made.hear(*PEERS)
        await eventually(lambda: not made.is_watching)
        made.told.clear()
        await asyncio.sleep(5 * INTERVAL)
        assert made.told == []
        made.hear("node-b")
        await eventually(lambda: made.is_watching)
        await eventually(lambda: "node-c" in made.alive)  # it renews its Lease, so heartbeats are what is broken


async def test_it_goes_on_watching_while_one_that_is_not_heard_renews(tmp_path) -> None:
    async with rig(tmp_path) as made:
        made.hear("node-b")
        await asyncio.sleep(2 * DURATION)
        assert made.is_watching
        assert made.alive == PEERS


async def test_who_has_been_dead_for_long_is_looked_at_now_and_then(tmp_path) -> None:
    async with rig(tmp_path) as made:
        made.renew("node-a", "node-b")
        made.hear("node-b")
        await eventually(lambda: not made.is_watching)
        assert made.alive == {"node-b"}
        made.renew("node-a", "node-b", "node-c")
        await eventually(lambda: "node-c" in made.alive)
        await eventually(lambda: made.is_watching)


async def test_a_lease_that_was_deleted_meanwhile_is_forgotten(tmp_path) -> None:
    async with rig(tmp_path) as made:
        made.renew("node-a", "node-b")
        made.hear("node-b")
        await eventually(lambda: not made.is_watching)
        await made.lab.admin.delete(LEASES, "berth-speaker-node-c", namespace=NAMESPACE)
        lists = len(made.listed)
        made.hear()
        await eventually(lambda: made.is_watching)
        assert made.listed[lists:] == [{"node-a", "node-b"}]
        assert made.alive.isdisjoint({"node-c"})
        await eventually(lambda: "node-c" not in made.liveness._nodes)  # or nodes that are gone would fill the memory


async def test_a_lease_that_is_deleted_while_it_is_watched_is_told_as_gone(tmp_path) -> None:
    async with rig(tmp_path) as made:
        made.renew("node-a", "node-b")
        await made.lab.admin.delete(LEASES, "berth-speaker-node-c", namespace=NAMESPACE)
        await eventually(lambda: ("node-c", False) in made.told)
        assert made.alive == {"node-b"}


async def test_a_lease_that_loses_its_label_is_watched_on(tmp_path) -> None:
    async with rig(tmp_path) as made:
        body = {"metadata": {"labels": None}}
        made.renew("node-a")
        for node in PEERS:
            await made.lab.admin.merge_patch(LEASES, f"berth-speaker-{node}", body, namespace=NAMESPACE)
        await asyncio.sleep(2 * INTERVAL)
        assert not [told for told in made.told if told in {(node, False) for node in PEERS}]


async def test_other_leases_of_the_namespace_are_nobodys(tmp_path) -> None:
    async with rig(tmp_path) as made:
        await made.lab.admin.create(LEASES, {"metadata": {"name": "berth-allocator"}, "spec": {}}, NAMESPACE)
        made.renew("node-a", "node-b")
        await asyncio.sleep(2 * INTERVAL)
        assert {node for node, _ in made.told} <= {"node-a", *PEERS}
        assert set().union(*made.listed) <= {"node-a", *PEERS}


async def test_a_lease_that_is_given_back_is_told_at_once(tmp_path) -> None:
    async with rig(tmp_path) as made:
        made.renew("node-a", "node-b")
        body = {"spec": {"holderIdentity": ""}}
        await made.lab.admin.merge_patch(LEASES, "berth-speaker-node-c", body, namespace=NAMESPACE)
        await eventually(lambda: ("node-c", False) in made.told)
        assert made.alive == {"node-b"}


async def test_what_cannot_be_read_is_looked_at_again(tmp_path) -> None:
    """The API server is down when one is lost: the watch begins when it is back."""
    async with rig(tmp_path) as made:
        made.hear(*PEERS)
        await eventually(lambda: not made.is_watching)
        await made.lab.server.stop()
        made.hear("node-b")
        await asyncio.sleep(2 * DURATION)
        assert made.alive == {"node-b"}
        await made.lab.server.start()
        await eventually(lambda: "node-c" in made.alive)
