"""`berth explain` on broken set-ups: the true cause comes first, and says what to do."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cli.check.codes import Code
from cli.check.read import check_cluster
from crds.names import ALLOCATOR_LEASE, LABEL_DRAINED, allocation_name, speaker_lease
from kube.io.client import Client
from kube.resource import (
    BGPADVERTISEMENTS,
    BGPPEERS,
    IPALLOCATIONS,
    IPPOOLS,
    L2ADVERTISEMENTS,
    LEASES,
    NODES,
    SERVICES,
    SPEAKERS,
)
from lab.apiserver.server import ApiServer
from tests.cli.setups import ADDRESS, BERTH, BINDINGS, EXCLUDE, NODES_THERE, ROLES, Setup

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

Break = Callable[[Setup], Awaitable[None]]
CLI_PAGE = Path(__file__).parent.parent.parent / "docs" / "cli.md"
RECORD = allocation_name(ADDRESS)


async def no_pool(setup: Setup) -> None:
    await setup.client.delete(IPPOOLS, "edge")
    await setup.service("new")


async def full_pool(setup: Setup) -> None:
    await setup.spec(IPPOOLS, "edge", {"addresses": [f"{ADDRESS}/32"]})
    await setup.service("new")


async def quota(setup: Setup) -> None:
    await setup.spec(IPPOOLS, "edge", {"maxPerNamespace": 1})
    await setup.service("new")


async def wrong_family(setup: Setup) -> None:
    await setup.spec(IPPOOLS, "edge", {"addresses": ["2001:db8::/120"]})
    await setup.service("new")


async def wrong_address(setup: Setup) -> None:
    await setup.service("new", annotations={"berth.dev/ips": "198.51.100.7"})


async def address_of_another(setup: Setup) -> None:
    await setup.service("new", annotations={"berth.dev/ips": ADDRESS})


async def address_of_a_node(setup: Setup) -> None:
    await setup.service("new", annotations={"berth.dev/ips": "192.0.2.201"})


async def paused(setup: Setup) -> None:
    await setup.spec(IPPOOLS, "edge", {"paused": True})
    await setup.service("new", annotations={"berth.dev/pool": "edge"})


async def unknown_pool(setup: Setup) -> None:
    await setup.service("new", annotations={"berth.dev/pool": "edgy"})


async def other_namespace(setup: Setup) -> None:
    await setup.spec(IPPOOLS, "edge", {"namespaces": ["shop"]})
    await setup.service("new")


async def other_class(setup: Setup) -> None:
    await setup.service("new", loadBalancerClass="example.com/other")


async def no_allocator(setup: Setup) -> None:
    await setup.lease(ALLOCATOR_LEASE, age=120)
    await setup.service("new")


async def no_right_to_write(setup: Setup) -> None:
    for account in ("berth-allocator", "berth-speaker"):
        await setup.client.delete(ROLES, account)
        await setup.client.delete(BINDINGS, account)
    await setup.rights(leave_out="services/status")
    await setup.service("new")


async def no_advertisement(setup: Setup) -> None:
    await setup.client.delete(L2ADVERTISEMENTS, "lan")
    await setup.quiet()


async def selector_that_fits_nothing(setup: Setup) -> None:
    await setup.spec(L2ADVERTISEMENTS, "lan", {"nodeSelector": {"matchLabels": {"rack": "none"}}})
    await setup.quiet()


async def service_selector(setup: Setup) -> None:
    await setup.spec(L2ADVERTISEMENTS, "lan", {"serviceSelector": {"matchLabels": {"tier": "edge"}}})
    await setup.quiet()


async def interface_that_no_node_has(setup: Setup) -> None:
    await setup.spec(L2ADVERTISEMENTS, "lan", {"interfaces": ["bond7"]})
    await setup.quiet()


async def exclude_label_on_all(setup: Setup) -> None:
    for node in NODES_THERE:
        await setup.client.merge_patch(NODES, node, {"metadata": {"labels": {EXCLUDE: ""}}})
    await setup.quiet()


async def no_ready_endpoint(setup: Setup) -> None:
    await setup.local()
    await setup.endpoint("web", "node1", ready=False)
    await setup.quiet()


async def no_ready_endpoint_under_cluster(setup: Setup) -> None:
    await setup.endpoint("web", "node1", ready=False)


async def endpoint_where_no_speaker_is(setup: Setup) -> None:
    await setup.client.create(NODES, {"metadata": {"name": "node3"}})
    await setup.local()
    await setup.endpoint("web", "node3")
    await setup.quiet()


async def all_speakers_dead(setup: Setup) -> None:
    for node in NODES_THERE:
        await setup.lease(speaker_lease(node), age=90)


async def speaker_dead_with_the_endpoint(setup: Setup) -> None:
    await setup.local()
    await setup.lease(speaker_lease("node1"), age=90)


async def router_down(setup: Setup) -> None:
    await setup.bgp_only("can't connect: no route to host")


async def wrong_password(setup: Setup) -> None:
    await setup.bgp_only("the router does not answer: is the password the same on both sides?")


async def wrong_asn(setup: Setup) -> None:
    await setup.bgp_only("NOTIFICATION OPEN Message Error, Bad Peer AS: the router has another ASN", "Idle")


async def family_that_the_router_does_not_take(setup: Setup) -> None:
    await setup.bgp_only("", "Established")
    message = (
        "BGPPeer tor1: the router does not exchange IPv4 routes with this node, so it gets none: activate it there"
    )
    fault = {"object": "BGPPeer/tor1", "reason": "FamilyNotAgreed", "message": message}
    for node in NODES_THERE:
        await setup.report(node, faults=[fault])


async def password_that_is_missing(setup: Setup) -> None:
    await setup.bgp_only("the password can't be read: there is no Secret berth-system/tor1-password", "Idle")


async def drained_nodes(setup: Setup) -> None:
    for node in NODES_THERE:
        await setup.client.merge_patch(NODES, node, {"metadata": {"labels": {LABEL_DRAINED: ""}}})
    await setup.quiet()


async def published_when_announced(setup: Setup) -> None:
    await setup.spec(IPPOOLS, "edge", {"publish": "WhenAnnounced"})
    await setup.client.delete(L2ADVERTISEMENTS, "lan")
    await setup.quiet()
    await setup.status(SERVICES, "web", {"loadBalancer": None}, "default")


async def two_wishes_that_differ(setup: Setup) -> None:
    await setup.service("new", annotations={"berth.dev/ips": "192.0.2.50"}, loadBalancerIP="192.0.2.51")


async def no_speaker_was_ever_there(setup: Setup) -> None:
    for node in NODES_THERE:
        await setup.client.delete(SPEAKERS, node)
        await setup.client.delete(LEASES, speaker_lease(node), namespace=BERTH)


async def no_node_wants_the_router(setup: Setup) -> None:
    await setup.bgp_only("")
    await setup.spec(BGPPEERS, "tor1", {"nodeSelector": {"matchLabels": {"rack": "none"}}})
    for node in NODES_THERE:
        await setup.report(node, bgpSessions=None)


async def ipvs(setup: Setup) -> None:
    answers = [{"address": ADDRESS, "heldOn": "kube-ipvs0", "answersOn": "eth0"}]
    await setup.report("node2", kernelAnswers=answers)


async def address_in_use(setup: Setup) -> None:
    conflict = {"address": ADDRESS, "mac": "02:aa:00:00:00:01", "interface": "eth0", "announced": False}
    await setup.quiet()
    await setup.report("node1", conflicts=[conflict])


async def conflict(setup: Setup) -> None:
    conflict = {"address": ADDRESS, "mac": "02:aa:00:00:00:01", "interface": "eth0", "announced": True}
    await setup.report("node1", conflicts=[conflict])


async def other_segment(setup: Setup) -> None:
    off = {"name": "eth0", "up": True, "usable": True, "ipv6": True, "networks": ["198.51.100.1/24"]}
    await setup.status(SPEAKERS, "node1", {"interfaces": [off]})


async def release_stuck(setup: Setup) -> None:
    await setup.client.delete(SERVICES, "web", namespace="default")
    await setup.spec(IPALLOCATIONS, RECORD, {"releasing": True})
    waits = {
        "type": "Withdrawn",
        "status": "False",
        "reason": "WaitingForSpeakers",
        "message": f"{ADDRESS} is not free until these nodes have withdrawn it: node2: it is silent",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    await setup.status(IPALLOCATIONS, RECORD, {"conditions": [waits]})


async def asks_for_what_is_stuck(setup: Setup) -> None:
    await release_stuck(setup)
    await setup.service("new", annotations={"berth.dev/ips": ADDRESS})


async def service_labels_that_no_pool_is_for(setup: Setup) -> None:
    await setup.spec(IPPOOLS, "edge", {"serviceSelector": {"matchLabels": {"tier": "edge"}}})
    await setup.service("new")


async def pool_that_must_be_named(setup: Setup) -> None:
    await setup.spec(IPPOOLS, "edge", {"autoAssign": False})
    await setup.service("new")


async def pool_whose_addresses_an_older_one_has(setup: Setup) -> None:
    await setup.client.create(IPPOOLS, {"metadata": {"name": "young"}, "spec": {"addresses": ["192.0.2.0/24"]}})
    await setup.service("new", annotations={"berth.dev/pool": "young"})


async def pool_that_excludes_all(setup: Setup) -> None:
    await setup.spec(IPPOOLS, "edge", {"exclude": ["192.0.2.0/24"]})
    await setup.service("new")


async def address_of_another_pool(setup: Setup) -> None:
    await setup.client.create(IPPOOLS, {"metadata": {"name": "two"}, "spec": {"addresses": ["198.51.100.0/24"]}})
    await setup.service("new", annotations={"berth.dev/pool": "two", "berth.dev/ips": "192.0.2.50"})


async def address_of_the_other_family(setup: Setup) -> None:
    await setup.service("new", annotations={"berth.dev/ips": "2001:db8::5"})


async def address_that_is_reserved(setup: Setup) -> None:
    reservation = {"address": "192.0.2.77", "namespace": "shop", "name": "x"}
    await setup.spec(IPPOOLS, "edge", {"reservations": [reservation]})
    await setup.service("new", annotations={"berth.dev/ips": "192.0.2.77"})


async def port_clash(setup: Setup) -> None:
    key = {"berth.dev/sharing-key": "k"}
    await setup.client.merge_patch(SERVICES, "web", {"metadata": {"annotations": key}}, namespace="default")
    await setup.spec(IPALLOCATIONS, RECORD, {"sharingKey": "k"})
    await setup.service("new", annotations={**key, "berth.dev/ips": ADDRESS})


async def record_refused(setup: Setup) -> None:
    await setup.service("new")
    condition = {"type": "berth.dev/Allocated", "status": "False", "reason": "RecordRefused"}
    condition |= {"message": "admission policy tenants denied it", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    await setup.status(SERVICES, "new", {"conditions": [condition]}, "default")


async def another_program_writes_the_status(setup: Setup) -> None:
    await setup.status(SERVICES, "web", {"loadBalancer": {"ingress": [{"ip": "198.51.100.9"}]}}, "default")


async def changed_type(setup: Setup) -> None:
    await setup.client.merge_patch(SERVICES, "web", {"spec": {"type": "ClusterIP"}}, namespace="default")
    await setup.quiet()


async def deleted_while_no_allocator_leads(setup: Setup) -> None:
    await setup.client.delete(SERVICES, "web", namespace="default")
    await setup.client.delete(IPALLOCATIONS, RECORD)
    await setup.lease(ALLOCATOR_LEASE, age=300)


async def advertisement_for_another_pool(setup: Setup) -> None:
    await setup.spec(L2ADVERTISEMENTS, "lan", {"ipPools": ["edgy"]})
    await setup.quiet()


async def advertisement_with_an_unknown_router(setup: Setup) -> None:
    await setup.bgp_only("")
    await setup.client.delete(BGPPEERS, "tor1")
    await setup.spec(BGPADVERTISEMENTS, "routes", {"peers": ["tor9"]})
    for node in NODES_THERE:
        await setup.report(node, bgpSessions=None)


async def links_down(setup: Setup) -> None:
    for node in NODES_THERE:
        down = {"name": "eth0", "up": False, "usable": False, "ipv6": True, "reason": "is down"}
        await setup.status(SPEAKERS, node, {"interfaces": [down]})
        await setup.report(node, interfaces=[{"name": "eth0", "usable": False, "reason": "is down"}])
    await setup.quiet()


async def capability_that_a_policy_takes_away(setup: Setup) -> None:
    why = "CannotOpen: the speaker lacks the capability NET_RAW"
    for node in NODES_THERE:
        closed = {"name": "eth0", "up": True, "usable": False, "ipv6": True, "reason": why}
        await setup.status(SPEAKERS, node, {"interfaces": [closed]})
        named = (
            {"name": name, "usable": False, "reason": "Excluded"} for name in ("cali1", "cali2", "cni0", "docker0")
        )
        told = [*named, {"name": "eth0", "usable": False, "reason": why}]
        await setup.report(node, interfaces=told)
    await setup.quiet()


async def ipv6_off(setup: Setup) -> None:
    await setup.spec(IPPOOLS, "edge", {"addresses": ["192.0.2.0/24", "2001:db8::/120"]})
    for node in NODES_THERE:
        without = {"name": "eth0", "up": True, "usable": True, "ipv6": False, "networks": ["192.0.2.201/24"]}
        await setup.status(SPEAKERS, node, {"interfaces": [without]})
    await setup.service("new", "2001:db8::5", ipFamilies=["IPv6"])
    await setup.endpoint("new", "node1")


async def speakers_that_start(setup: Setup) -> None:
    condition = {"type": "Ready", "status": "False", "reason": "Starting", "message": "It reads the objects"}
    for node in NODES_THERE:
        conditions = [{**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}]
        await setup.status(SPEAKERS, node, {"conditions": conditions})
    await setup.quiet()


async def out_of_service(setup: Setup) -> None:
    taint = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}
    for node in NODES_THERE:
        await setup.spec(NODES, node, {"taints": [taint]})
    await setup.quiet()


BROKEN = [
    (no_pool, "new", "NoPools", "create one"),
    (full_pool, "new", "PoolExhausted", "extend the pool"),
    (quota, "new", "QuotaExceeded", "raise the limit"),
    (wrong_family, "new", "FamilyUnavailable", "change spec.ipFamilies"),
    (wrong_address, "new", "AddressNotInPool", "in no pool"),
    (address_of_another, "new", "AddressInUse", "default/web"),
    (address_of_a_node, "new", "AddressExcluded", "node1"),
    (paused, "new", "PoolPaused", "is paused"),
    (unknown_pool, "new", "PoolNotFound", "there are: edge"),
    (other_namespace, "new", "NoMatchingPool", "namespaces"),
    (other_class, "new", "NotServed", "example.com/other"),
    (no_allocator, "new", "NoLeader", "Deployment berth-allocator"),
    (no_right_to_write, "new", "RightMissing", "patch services/status"),
    (no_advertisement, "web", "NoAdvertisement", "create one"),
    (selector_that_fits_nothing, "web", "NoEligibleNode", "no Node has the labels that the nodeSelector"),
    (service_selector, "web", "NoAdvertisement", "serviceSelector"),
    (interface_that_no_node_has, "web", "NoEligibleNode", "none of the interfaces"),
    (exclude_label_on_all, "web", "NoEligibleNode", f"excluded by the label {EXCLUDE}"),
    (no_ready_endpoint, "web", "NoReadyEndpoint", "no ready endpoint"),
    (no_ready_endpoint_under_cluster, "web", "NoReadyEndpoint", "kubectl get pods -n default -l app=web"),
    (endpoint_where_no_speaker_is, "web", "NoEligibleNode", "node3, which has no live speaker"),
    (all_speakers_dead, "web", "NoSpeaker", "node1 is silent"),
    (speaker_dead_with_the_endpoint, "web", "NoEligibleNode", "node1, which has no live speaker"),
    (router_down, "web", "SessionsDown", "no route to host"),
    (wrong_password, "web", "SessionsDown", "password"),
    (wrong_asn, "web", "SessionsDown", "ASN"),
    (family_that_the_router_does_not_take, "web", "FamilyNotAgreed", "does not exchange IPv4 routes"),
    (password_that_is_missing, "web", "SessionsDown", "no Secret berth-system/tor1-password"),
    (drained_nodes, "web", "NoEligibleNode", "excluded by the label berth.dev/drained"),
    (published_when_announced, "web", "NoAdvertisement", "create one"),
    (two_wishes_that_differ, "new", "InvalidRequest", "keep the annotation only"),
    (no_speaker_was_ever_there, "web", "NoSpeaker", "pods of the DaemonSet berth-speaker"),
    (no_node_wants_the_router, "web", "SessionsDown", "no node wants a session"),
    (ipvs, "web", "HeldByNode", "strictARP"),
    (address_in_use, "web", "DuplicateAddress", "02:aa:00:00:00:01"),
    (conflict, "web", "AddressConflict", "02:aa:00:00:00:01"),
    (other_segment, "web", "OwnerOffNetwork", "node2"),
    (release_stuck, "web", "WaitingForSpeakers", "node2: it is silent"),
    (asks_for_what_is_stuck, "new", "AddressInUse", "is being withdrawn"),
    (service_labels_that_no_pool_is_for, "new", "NoMatchingPool", "edge has a serviceSelector"),
    (pool_that_must_be_named, "new", "NoMatchingPool", "berth.dev/pool: edge"),
    (pool_whose_addresses_an_older_one_has, "new", "FamilyUnavailable", "pool edge's, which is older"),
    (pool_that_excludes_all, "new", "FamilyUnavailable", "edge keeps all of its own out"),
    (address_of_another_pool, "new", "AddressNotInPool", "is in pool edge, not in two"),
    (address_of_the_other_family, "new", "InvalidRequest", "the Service is IPv4 only"),
    (address_that_is_reserved, "new", "AddressExcluded", "reserved for Service shop/x"),
    (port_clash, "new", "SharingConflict", "port TCP 80 is taken by default/web"),
    (record_refused, "new", "RecordRefused", "admission policy tenants"),
    (another_program_writes_the_status, "web", "StatusOverwritten", "198.51.100.9"),
    (changed_type, "web", "NotServed", "type ClusterIP"),
    (deleted_while_no_allocator_leads, "web", "NoLeader", "finalizer"),
    (advertisement_for_another_pool, "web", "NoAdvertisement", "lan covers other pools"),
    (advertisement_with_an_unknown_router, "web", "SessionsDown", "there is no BGPPeer tor9"),
    (links_down, "web", "NoEligibleNode", "no usable interface"),
    (capability_that_a_policy_takes_away, "web", "NoEligibleNode", "no usable interface"),
    (ipv6_off, "new", "NoEligibleNode", "IPv6 switched off"),
    (speakers_that_start, "web", "NoSpeaker", "node1 is not ready"),
    (out_of_service, "web", "NoEligibleNode", "out of service by the taint"),
]


@pytest.mark.parametrize(("broken", "service", "reason", "words"), BROKEN, ids=[case[0].__name__ for case in BROKEN])
async def test_the_true_cause_comes_first(setup: Setup, broken: Break, service: str, reason: str, words: str) -> None:
    await broken(setup)
    told = await setup.explain(f"svc/{service}")
    assert told.causes, told
    assert told.causes[0].reason == reason
    assert words in told.causes[0].message


async def test_what_works_has_no_cause(setup: Setup) -> None:
    told = await setup.explain()
    assert (told.causes, told.notes) == ([], [])
    assert told.summary == f"{ADDRESS}. Announced by node1 (Layer2 on eth0)"
    assert set(told.sections) == {"POOLS", "ADVERTISEMENTS", "NODES", "ENDPOINTS"}


async def test_heartbeats_that_are_blocked_are_noted_where_all_works(setup: Setup) -> None:
    await setup.condition("node1", "PeersHeard", "PeersUnheard", "Nothing is heard of node2: UDP port 7473 is blocked")
    told = await setup.explain()
    assert not told.causes
    assert [one.reason for one in told.notes] == ["PeersUnheard"]
    assert "7473" in told.notes[0].message


async def test_a_port_of_heartbeats_that_is_taken_is_noted(setup: Setup) -> None:
    await setup.condition("node1", "PeersHeard", "PortTaken", "Another program on this node has UDP port 7473")
    told = await setup.explain()
    assert (told.causes, [one.reason for one in told.notes]) == ([], ["PortTaken"])


async def codes(setup: Setup) -> list[Code]:
    found = await check_cluster(setup.client, BERTH, is_before=False)
    return [one.code for one in found if one.code is not Code.NODE_ADDRESSES]


@pytest.mark.parametrize(("node", "age"), [("node2", -3600), ("node1", 3600)])
async def test_a_node_whose_clock_is_off_makes_nobody_look_dead(setup: Setup, node: str, age: float) -> None:
    await setup.lease(speaker_lease(node), age=age)
    told = await setup.explain()
    assert (told.causes, [one.reason for one in told.notes]) == ([], ["OtherClock"])
    assert told.notes[0].message.startswith(f"{node}: its clock is 3600 s ")
    assert await codes(setup) == [Code.CLOCK]


async def test_a_lease_that_old_counts_where_no_allocator_says_otherwise(setup: Setup) -> None:
    await setup.lease(speaker_lease("node1"), age=3600)
    await setup.lease(ALLOCATOR_LEASE, age=3600)
    assert any(one.reason == "NodeSilent" for one in (await setup.explain()).notes)


async def test_what_the_service_still_says_is_no_cause_where_it_can_be_rewritten_no_more(setup: Setup) -> None:
    await no_right_to_write(setup)
    condition = {"type": "berth.dev/Allocated", "status": "False", "reason": "NoPools", "message": "x"}
    conditions = [{**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    await setup.status(SERVICES, "new", {"conditions": conditions}, "default")
    assert (await setup.explain("svc/new")).causes[0].reason == "RightMissing"


async def test_what_is_given_up_is_no_address_that_nobody_announces(setup: Setup) -> None:
    await changed_type(setup)
    told = await setup.explain()
    assert [one.reason for one in told.causes] == ["NotServed"]
    assert [one.reason for one in told.notes] == ["Releasing"]


async def test_links_that_are_down_are_told_by_explain_and_by_check(setup: Setup) -> None:
    await links_down(setup)
    assert [one.message for one in (await setup.explain()).notes] == [
        f"{node}: it has no usable interface: eth0 is down" for node in NODES_THERE
    ]
    assert await codes(setup) == [Code.SPEAKERS] * 2


async def test_a_capability_that_is_missing_is_told_whatever_other_interfaces_there_are(setup: Setup) -> None:
    await capability_that_a_policy_takes_away(setup)
    [first, *_] = (await setup.explain()).notes
    assert (
        first.message == "node1: it has no usable interface: eth0 CannotOpen: the speaker lacks the capability NET_RAW"
    )


async def test_a_node_that_is_asked_for_in_vain_is_told(setup: Setup) -> None:
    raw = json.loads(await setup.client.get(IPALLOCATIONS, RECORD))
    holders = [{**one, "node": "node9"} for one in raw["spec"]["holders"]]
    await setup.spec(IPALLOCATIONS, RECORD, {"holders": holders})
    told = await setup.explain()
    assert [one.reason for one in told.notes] == ["NotOnNodeAskedFor"]
    assert "there is no Node" in told.notes[0].message


async def test_what_a_dead_speaker_announced_is_not_believed(setup: Setup) -> None:
    await setup.lease(speaker_lease("node1"), age=90)
    told = await setup.explain()
    assert told.causes
    assert "node1" in told.notes[0].message


async def test_a_release_that_is_waited_for_is_the_second_cause(setup: Setup) -> None:
    await asks_for_what_is_stuck(setup)
    told = await setup.explain("svc/new")
    assert [one.reason for one in told.causes] == ["AddressInUse", "WaitingForSpeakers"]


async def test_a_service_that_is_not_there(setup: Setup) -> None:
    told = await setup.explain("svc/nosuch")
    assert [one.reason for one in told.causes] == ["NotFound"]


async def test_definitions_that_are_missing(tmp_path: Path) -> None:
    async with (
        ApiServer(tmp_path) as server,
        await Client.connect(str(server.kubeconfig_path), user_agent="test") as client,
    ):
        setup = Setup(client)
        await setup.service("web")
        told = await setup.explain()
    assert told.causes[0].reason == "NoDefinitions"
    assert "crds.enabled" in told.causes[0].message


class TestOthers:
    async def test_an_address_tells_whose_it_is(self, setup: Setup) -> None:
        told = await setup.explain(ADDRESS)
        assert "svc/default/web" in told.summary
        assert "node1" in told.summary

    @pytest.mark.parametrize(
        ("address", "reason"), [("192.0.2.201", "AddressExcluded"), ("198.51.100.1", "AddressNotInPool")]
    )
    async def test_an_address_that_nobody_gets(self, setup: Setup, address: str, reason: str) -> None:
        assert [one.reason for one in (await setup.explain(address)).causes] == [reason]

    async def test_a_pool_that_is_full_and_not_advertised(self, setup: Setup) -> None:
        await full_pool(setup)
        await no_advertisement(setup)
        told = await setup.explain("pool/edge")
        assert [one.reason for one in told.causes] == ["NoAddressesLeft", "NoAdvertisement"]

    async def test_a_node_that_is_excluded(self, setup: Setup) -> None:
        await exclude_label_on_all(setup)
        told = await setup.explain("node/node1")
        assert [one.reason for one in told.causes] == ["Excluded"]
        assert EXCLUDE in told.causes[0].message


@pytest.mark.parametrize("case", BROKEN, ids=[case[0].__name__ for case in BROKEN])
async def test_the_document_has_each_set_up(case: tuple[Break, str, str, str]) -> None:
    broken, _, reason, _ = case
    name = broken.__name__.replace("_", " ")
    rows = [line.split("|") for line in CLI_PAGE.read_text().splitlines() if line.startswith(f"| {name} |")]
    assert len(rows) == 1
    assert f"`{reason}`" in rows[0][3]
