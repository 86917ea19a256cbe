"""`berth move`: what it writes, what it refuses before it writes anything, and when it calls a move done."""

import argparse
import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from cli.__main__ import main
from cli.failure import Failed
from cli.move.command import moved
from cli.move.judge import Move
from cli.move.run import Watched, carry_out, judged
from crds.names import ALLOCATOR_LEASE, allocation_name
from kube.io.client import Client
from kube.objects import ServiceKey
from kube.resource import IPALLOCATIONS, IPPOOLS, L2ADVERTISEMENTS, NODES, SERVICES
from lab.apiserver.server import ApiServer
from tests.cli.setups import ADDRESS, BERTH, EXCLUDE, Setup

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

WEB = ServiceKey("default", "web")
OTHER = "192.0.2.20"


async def judge(setup: Setup, to: str, name: str = "web") -> Move:
    _, found = await judged(setup.client, BERTH, ServiceKey("default", name), to)
    return found


async def written(setup: Setup, to: str, name: str = "web") -> Mapping[str, str | None]:
    return (await judge(setup, to, name)).change.annotations


async def annotate(setup: Setup, **annotations: str) -> None:
    named = {name.replace("_", "/", 1): value for name, value in annotations.items()}
    body = {"metadata": {"annotations": {name.replace("berth/", "berth.dev/"): one for name, one in named.items()}}}
    await setup.client.merge_patch(SERVICES, "web", body, namespace="default")


async def inner(setup: Setup, **spec: Any) -> None:
    """A second pool."""
    spec = {"addresses": ["198.51.100.0/24"], **spec}
    await setup.client.create(IPPOOLS, {"metadata": {"name": "inner"}, "spec": spec})


def options(to: str, **given: Any) -> argparse.Namespace:
    return argparse.Namespace(
        berth_namespace=BERTH, to=to, dry_run=False, wait=False, timeout=0.0, **{"output": "table", **given}
    )


class TestAnnotations:
    async def test_an_address_is_asked_for_by_name(self, setup: Setup) -> None:
        found = await judge(setup, OTHER)
        assert found.change.annotations == {"berth.dev/ips": OTHER}
        assert [str(one.address) for one in found.grants] == [OTHER]
        assert [str(one) for one in found.leaving] == [ADDRESS]

    async def test_a_pool_takes_the_place_of_an_address_that_was_asked_for(self, setup: Setup) -> None:
        await inner(setup)
        await annotate(setup, berth_ips=ADDRESS)
        assert await written(setup, "inner") == {"berth.dev/ips": None, "berth.dev/pool": "inner"}

    async def test_an_address_of_another_pool_takes_the_place_of_the_pool(self, setup: Setup) -> None:
        await inner(setup)
        await annotate(setup, berth_pool="edge")
        expected = {"berth.dev/ips": "198.51.100.7", "berth.dev/pool": "inner"}
        assert await written(setup, "198.51.100.7") == expected

    async def test_a_node_is_named(self, setup: Setup) -> None:
        found = await judge(setup, "node2")
        assert found.change.annotations == {"berth.dev/node": "node2"}
        assert found.leaving == ()

    async def test_what_other_names_ask_for_goes(self, setup: Setup) -> None:
        other = {"metallb.io/loadBalancerIPs": ADDRESS}
        body = {"metadata": {"annotations": other}, "spec": {"loadBalancerIP": ADDRESS}}
        await setup.client.merge_patch(SERVICES, "web", body, namespace="default")
        found = await judge(setup, OTHER)
        assert found.change.annotations == {"berth.dev/ips": OTHER, "metallb.io/loadBalancerIPs": None}
        assert found.change.drops_field
        await carry_out(setup.client, WEB, found)
        stored = json.loads(await setup.client.get(SERVICES, "web", "default"))
        assert "loadBalancerIP" not in stored["spec"]
        assert (await judge(setup, OTHER)).change.annotations == {}

    async def test_the_other_family_stays_where_it_is(self, setup: Setup) -> None:
        six = {"metadata": {"name": "six"}, "spec": {"addresses": ["2001:db8::/120"]}}
        await setup.client.create(IPPOOLS, six)
        await inner(setup)
        families = {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack"}
        made = await setup.service("both", "192.0.2.30", annotations={"berth.dev/ips": "2001:db8::5"}, **families)
        await setup.record(made, "2001:db8::5", "six")
        ingress = {"loadBalancer": {"ingress": [{"ip": "192.0.2.30"}, {"ip": "2001:db8::5"}]}}
        await setup.status(SERVICES, "both", ingress, "default")
        found = await judge(setup, "inner", "both")
        assert found.change.annotations == {"berth.dev/pool": "inner,six"}
        assert [str(one.address) for one in found.grants] == ["198.51.100.0", "2001:db8::5"]
        assert await written(setup, OTHER, "both") == {"berth.dev/ips": f"{OTHER},2001:db8::5"}


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("203.0.113.1", "203.0.113.1.*in no pool"),
        ("192.0.2.201", "node1"),
        ("2001:db8::1", "is IPv6, but the Service is IPv4 only"),
        ("nosuch", "no address, and there is no pool and no node of this name: the pools are edge"),
        ("pool/nosuch", "there is no IPPool nosuch"),
        ("node/nosuch", "there is no Node nosuch"),
    ],
)
async def test_what_can_not_be_is_refused_with_the_reason(setup: Setup, to: str, why: str) -> None:
    with pytest.raises(Failed, match=why):
        await judge(setup, to)


class TestRefused:
    async def test_an_address_of_another_service(self, setup: Setup) -> None:
        await setup.service("two", OTHER)
        with pytest.raises(Failed, match=r"can't have 192.0.2.20: .*default/two"):
            await judge(setup, OTHER)

    async def test_an_address_that_is_being_withdrawn(self, setup: Setup) -> None:
        made = await setup.service("two", OTHER)
        await setup.spec(IPALLOCATIONS, allocation_name(OTHER), {"releasing": True})
        assert made
        with pytest.raises(Failed, match="is being withdrawn"):
            await judge(setup, OTHER)

    async def test_a_pool_that_is_paused_or_for_others_or_of_another_family(self, setup: Setup) -> None:
        await inner(setup, paused=True)
        with pytest.raises(Failed, match=r"can't move to pool inner: .*paused"):
            await judge(setup, "inner")
        await setup.spec(IPPOOLS, "inner", {"paused": False, "namespaces": ["shop"]})
        with pytest.raises(Failed, match=r"can't move to pool inner: .*namespaces"):
            await judge(setup, "inner")
        six = {"metadata": {"name": "six"}, "spec": {"addresses": ["2001:db8::/120"]}}
        await setup.client.create(IPPOOLS, six)
        with pytest.raises(Failed, match="it has no IPv4 addresses to give"):
            await judge(setup, "six")

    async def test_a_pool_whose_addresses_nobody_would_announce(self, setup: Setup) -> None:
        await inner(setup)
        await setup.spec(L2ADVERTISEMENTS, "lan", {"ipPools": ["edge"]})
        with pytest.raises(Failed, match=r"nobody would announce 198.51.100.0 of svc/default/web: No L2Adv"):
            await judge(setup, "inner")

    async def test_but_not_where_nobody_announces_it_now(self, setup: Setup) -> None:
        await inner(setup)
        await setup.spec(L2ADVERTISEMENTS, "lan", {"ipPools": ["edge"]})
        await setup.quiet()
        assert "No L2Advertisement" in (await judge(setup, "inner")).notes[0]

    async def test_that_nobody_leads_is_told(self, setup: Setup) -> None:
        await setup.lease(ALLOCATOR_LEASE, age=90)
        assert "No allocator leads" in (await judge(setup, OTHER)).notes[0]

    async def test_a_pool_that_is_full(self, setup: Setup) -> None:
        await inner(setup, addresses=["198.51.100.1/32"])
        await setup.service("two", "198.51.100.1")
        with pytest.raises(Failed, match="can't move to pool inner: No IPv4 address is free in inner"):
            await judge(setup, "inner")

    async def test_a_node_that_may_not_announce(self, setup: Setup) -> None:
        await setup.client.merge_patch(NODES, "node2", {"metadata": {"labels": {EXCLUDE: ""}}})
        with pytest.raises(Failed, match=r"node2 can't announce 192.0.2.10: it is excluded by the label"):
            await judge(setup, "node2")

    async def test_a_node_without_an_endpoint_under_local(self, setup: Setup) -> None:
        await setup.local()
        with pytest.raises(Failed, match=r"node2 can't announce 192.0.2.10: it has no ready endpoint"):
            await judge(setup, "node2")

    async def test_a_node_for_what_goes_by_bgp_alone(self, setup: Setup) -> None:
        await setup.bgp_only("", "Established")
        with pytest.raises(Failed, match="not announced on layer 2, so no node owns it: no L2Adv"):
            await judge(setup, "node2")

    async def test_a_node_when_another_service_at_the_address_asks_for_another_one(self, setup: Setup) -> None:
        shared = {"berth.dev/sharing-key": "a"}
        made = await setup.service("app", annotations={**shared, "berth.dev/node": "node1"}, ports=[{"port": 81}])
        await setup.client.merge_patch(SERVICES, "web", {"metadata": {"annotations": shared}}, namespace="default")
        record = json.loads(await setup.client.get(IPALLOCATIONS, allocation_name(ADDRESS)))
        app = {"namespace": "default", "name": "app", "uid": made["metadata"]["uid"], "node": "node1"}
        holders = [{**app, "ports": [{"protocol": "TCP", "port": 81}]}, *record["spec"]["holders"]]
        spec = {"holders": holders, "sharingKey": "a"}
        await setup.client.merge_patch(IPALLOCATIONS, allocation_name(ADDRESS), {"spec": spec})
        with pytest.raises(Failed, match="shared with svc/default/app, which asks for node1"):
            await judge(setup, "node2")

    async def test_a_name_that_is_both(self, setup: Setup) -> None:
        await setup.client.create(IPPOOLS, {"metadata": {"name": "node1"}, "spec": {"addresses": ["203.0.113.0/24"]}})
        with pytest.raises(Failed, match="write --to pool/node1 or --to node/node1"):
            await judge(setup, "node1")

    async def test_a_service_that_is_not_there_or_not_served(self, setup: Setup) -> None:
        with pytest.raises(Failed, match="there is no Service nosuch in namespace default"):
            await judge(setup, OTHER, "nosuch")
        await setup.service("other", loadBalancerClass="example.com/other")
        with pytest.raises(Failed, match="Berth does not serve svc/default/other"):
            await judge(setup, OTHER, "other")

    async def test_who_may_not_read_or_write_is_told_what(self, setup: Setup, api_server: ApiServer) -> None:
        path = str(api_server.kubeconfig_path)
        found = await judge(setup, OTHER)
        async with await Client.connect(path, user_agent="test", acts_as="nobody") as nobody:
            with pytest.raises(Failed, match=r"without reading these: .*ippools.berth.dev: you may not list them"):
                await judged(nobody, BERTH, WEB, OTHER)
            with pytest.raises(Failed, match="you may not patch services, so nothing was changed"):
                await carry_out(nobody, WEB, found)

    async def test_the_service_that_took_its_name_is_not_changed(self, setup: Setup) -> None:
        found = await judge(setup, OTHER)
        await setup.client.merge_patch(SERVICES, "web", {"metadata": {"finalizers": None}}, namespace="default")
        await setup.client.delete(SERVICES, "web", namespace="default")
        await setup.service("web")
        with pytest.raises(Failed, match="was not changed"):
            await carry_out(setup.client, WEB, found)


async def test_a_dry_run_writes_nothing(setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    given = options(OTHER)
    given.dry_run = True
    assert await moved(setup.client, given, WEB) == 0
    assert capsys.readouterr().out == (
        f"svc/default/web: would write berth.dev/ips: {OTHER}. It gets {OTHER} of pool edge, and gives back {ADDRESS}\n"
    )
    stored = json.loads(await setup.client.get(SERVICES, "web", "default"))
    assert not stored["metadata"].get("annotations")


async def test_programs_are_told_in_one_object(setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    given = options(OTHER, output="json")
    given.dry_run = True
    assert await moved(setup.client, given, WEB) == 0
    assert json.loads(capsys.readouterr().out) == {
        "service": "default/web",
        "written": False,
        "annotations": {"berth.dev/ips": OTHER},
        "gets": [{"address": OTHER, "pool": "edge"}],
        "givesBack": [ADDRESS],
        "node": "",
        "notes": [],
        "done": None,
        "state": "",
    }


class TestDone:
    async def at(self, setup: Setup, address: str, *, announced: bool) -> None:
        """As allocator and speakers would write it."""
        service = json.loads(await setup.client.get(SERVICES, "web", "default"))
        await setup.record(service, address)
        await setup.status(SERVICES, "web", {"loadBalancer": {"ingress": [{"ip": address}]}}, "default")
        if announced:
            await self.announced(setup, address)

    async def announced(self, setup: Setup, address: str) -> None:
        one = {"type": "Announced", "status": "True", "reason": "Announcing", "message": "Announced by node1"}
        conditions = [{**one, "lastTransitionTime": "2026-01-01T00:00:00Z"}]
        await setup.status(IPALLOCATIONS, allocation_name(address), {"conditions": conditions})

    async def watched(self, setup: Setup, to: str) -> Watched:
        world, asked = await judged(setup.client, BERTH, WEB, to)
        await carry_out(setup.client, WEB, asked)
        return Watched(setup.client, world, WEB, asked)

    async def test_when_it_is_announced_at_the_new_address_and_has_given_the_old_one_back(self, setup: Setup) -> None:
        watched = await self.watched(setup, OTHER)
        assert f"is still at {ADDRESS}" in (await watched.look()).text
        await self.at(setup, OTHER, announced=False)
        assert "192.0.2.20 is not announced yet" in (await watched.look()).text
        await self.announced(setup, OTHER)
        assert await watched.look() == (False, f"{ADDRESS} is being withdrawn")
        await setup.client.delete(IPALLOCATIONS, allocation_name(ADDRESS))
        assert await watched.look() == (True, f"svc/default/web is at {OTHER}; {ADDRESS} is given back")

    async def test_any_address_of_the_pool_will_do(self, setup: Setup) -> None:
        await inner(setup)
        watched = await self.watched(setup, "inner")
        await self.at(setup, "198.51.100.77", announced=True)
        await setup.client.delete(IPALLOCATIONS, allocation_name(ADDRESS))
        assert (await watched.look()).is_done

    async def test_at_a_node_when_no_other_one_announces_it_on_layer_2(self, setup: Setup) -> None:
        watched = await self.watched(setup, "node2")
        assert await watched.look() == (False, f"{ADDRESS} is at node1")
        await setup.announce("node2", ADDRESS)
        assert await watched.look() == (False, f"{ADDRESS} is at node1, node2")
        await setup.quiet()
        assert await watched.look() == (True, f"svc/default/web is at node2: {ADDRESS}")

    async def test_not_when_the_time_is_over(self, setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
        given = options(OTHER)
        given.wait = True
        assert await moved(setup.client, given, WEB) == 1
        assert f"Not done in 0 s: svc/default/web is still at {ADDRESS}" in capsys.readouterr().out

    async def test_not_when_the_service_is_gone(self, setup: Setup) -> None:
        watched = await self.watched(setup, OTHER)
        await setup.client.merge_patch(SERVICES, "web", {"metadata": {"finalizers": None}}, namespace="default")
        await setup.client.delete(SERVICES, "web", namespace="default")
        with pytest.raises(Failed, match="was deleted meanwhile"):
            await watched.look()


async def test_only_services_move(kubeconfig: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["move", "node/node1", "--to", OTHER, "--kubeconfig", kubeconfig]
    assert await asyncio.to_thread(main, arguments) == 2
    assert capsys.readouterr().err == "berth: node/node1 can't be moved: write svc/NAME\n"
