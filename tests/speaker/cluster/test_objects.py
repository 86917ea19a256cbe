"""What a speaker keeps of the objects it watches."""

from ipaddress import ip_address

import pytest

from crds.ipallocation import IPAllocation
from crds.speaker import Speaker
from kube.objects import ServiceKey
from speaker.cluster.networks import Attached
from speaker.cluster.objects import (
    BY_CORDON,
    MOST_INTERFACES,
    MOST_VALUE_CHARACTERS,
    PoolFacts,
    SpeakerFacts,
    allocation_from,
    as_its_speaker_sees,
    node_from,
    pool_from,
    slice_from,
    speaker_from,
)
from speaker.cluster.state import ClusterState, Kind
from tests.speaker.make import attachment, raw

HOLDER = {"namespace": "default", "name": "web", "uid": "u", "ports": [{"port": 80}], "labels": {"app": "web"}}


def ipallocation(name: str = "v4-192-0-2-10", **spec: object) -> bytes:
    meta = {"name": name, "uid": "u1", "generation": 3, "resourceVersion": "7"}
    return raw(metadata=meta, spec={"address": "192.0.2.10", "pool": "edge", "holders": [HOLDER]} | spec)


def test_an_allocation_is_read_as_the_api_types_read_it() -> None:
    document = ipallocation(trafficPolicy="Local", releasing=True, sharingKey="k", selector={"app": "web"})
    ours, theirs = allocation_from(document), IPAllocation.decode(document)
    assert ours.name == theirs.metadata.name
    assert (ours.uid, ours.generation) == (theirs.metadata.uid, theirs.metadata.generation)
    assert (ours.address, ours.pool) == (theirs.spec.address, theirs.spec.pool)
    assert (ours.is_local, ours.is_releasing) == (theirs.spec.traffic_policy == "Local", theirs.spec.releasing)
    assert [(h.service, h.labels) for h in ours.holders] == [
        (ServiceKey(h.namespace, h.name), h.labels) for h in theirs.spec.holders
    ]


def test_what_an_allocation_leaves_out_has_the_apis_defaults() -> None:
    read = allocation_from(ipallocation())
    assert not read.is_local
    assert not read.is_releasing


@pytest.mark.parametrize(("written", "read"), [(31000, 31000), (None, 0), (0, 0), (-1, 0), (1 << 16, 0), (1 << 60, 0)])
def test_a_health_port_that_there_can_t_be_is_none(written, read) -> None:
    document = ipallocation(holders=[{**HOLDER, "healthCheckNodePort": written}])
    assert [one.health_port for one in allocation_from(document).holders] == [read]


@pytest.mark.parametrize(
    "document",
    [
        ipallocation(name="by-hand"),
        ipallocation(name="v4-192-0-2-11"),
        ipallocation(address="not an address"),
        ipallocation(name="v4-192-0-2-010", address="192.0.2.010"),
    ],
)
def test_an_allocation_that_is_not_named_after_its_address_has_none(document) -> None:
    assert allocation_from(document).address == ""


def test_an_ipv6_address_is_kept_in_canonical_spelling() -> None:
    read = allocation_from(ipallocation(name="v6-2001-db8-0-0-0-0-0-10", address="2001:0DB8:0::0010"))
    assert read.address == "2001:db8::10"
    assert read.is_ipv6


@pytest.mark.parametrize("document", [b"{", b"[]", raw(metadata={"name": "x"}), ipallocation(holders="web")])
def test_what_is_no_allocation_is_refused(document) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - msgspec's errors are ValueErrors, that is the contract
        allocation_from(document)


def test_allocations_share_their_texts_and_labels() -> None:
    """Thousands of them stay in memory."""
    one, other = allocation_from(ipallocation()), allocation_from(ipallocation())
    assert one.pool is other.pool
    assert one.holders[0].labels is other.holders[0].labels


EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"


@pytest.mark.parametrize(
    ("labels", "is_excluded"),
    [({}, False), ({EXCLUDE: ""}, True), ({EXCLUDE: "true"}, True), ({EXCLUDE: "false"}, False)],
)
def test_a_node_is_excluded_by_its_label_unless_that_says_false(labels, is_excluded) -> None:
    assert node_from(raw(metadata={"name": "n", "labels": labels})).is_excluded is is_excluded


@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute", "PreferNoSchedule"])
def test_a_node_that_the_autoscaler_will_delete_is_excluded(effect) -> None:
    taint = {"key": "ToBeDeletedByClusterAutoscaler", "value": "1767323045", "effect": effect}
    assert node_from(raw(metadata={"name": "n"}, spec={"taints": [taint]})).is_excluded
    assert not node_from(raw(metadata={"name": "n"}, spec={"taints": [taint | {"key": "other"}]})).is_excluded


def test_what_excludes_a_node_is_told_by_name_and_all_of_it() -> None:
    label, taint = "node.kubernetes.io/exclude-from-external-load-balancers", "ToBeDeletedByClusterAutoscaler"
    labels, taints = {label: "true"}, {"taints": [{"key": taint, "effect": "NoSchedule"}]}
    assert node_from(raw(metadata={"name": "n", "labels": labels})).excluded_by == (f"the label {label}",)
    assert node_from(raw(metadata={"name": "n"}, spec=taints)).excluded_by == (f"the taint {taint}",)
    both = node_from(raw(metadata={"name": "n", "labels": labels}, spec=taints))
    assert both.excluded_by == (f"the label {label}", f"the taint {taint}")


TAINTED = {"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]}


def ignoring(ignores: bool) -> SpeakerFacts:
    return speaker_from(raw(metadata={"name": "n"}, status={"ignoresExcludeLabel": ignores}))


def test_no_speaker_ignores_that_its_node_is_drained() -> None:
    drained = node_from(raw(metadata={"name": "n", "labels": {EXCLUDE: "", "berth.dev/drained": "true"}}))
    assert as_its_speaker_sees(drained, ignoring(True)).excluded_by == ("the label berth.dev/drained",)
    assert not node_from(raw(metadata={"name": "n", "labels": {"berth.dev/drained": "false"}})).is_excluded


def test_a_speaker_that_ignores_the_label_is_not_excluded_by_it_but_by_the_taint_all_the_same() -> None:
    by_both = node_from(raw(metadata={"name": "n", "labels": {EXCLUDE: ""}}, spec=TAINTED))
    assert as_its_speaker_sees(by_both, ignoring(True)).excluded_by == ("the taint ToBeDeletedByClusterAutoscaler",)
    assert as_its_speaker_sees(by_both, ignoring(False)) is by_both
    assert as_its_speaker_sees(by_both, None) is by_both
    assert not speaker_from(raw(metadata={"name": "n"})).ignores_exclude_label, "as a speaker of an earlier version"


CORDONED = {"unschedulable": True}


def draining(drains: bool, **status: bool) -> SpeakerFacts:
    return speaker_from(raw(metadata={"name": "n"}, status={"drainsWhenCordoned": drains, **status}))


def test_a_cordon_excludes_a_node_whose_speaker_says_that_it_drains_then_and_no_other() -> None:
    cordoned = node_from(raw(metadata={"name": "n"}, spec=CORDONED))
    plain = node_from(raw(metadata={"name": "n"}))
    assert not cordoned.is_excluded
    assert as_its_speaker_sees(cordoned, draining(True)).excluded_by == (BY_CORDON,)
    for speaker in (None, draining(False), speaker_from(raw(metadata={"name": "n"}))):
        assert as_its_speaker_sees(cordoned, speaker) == plain, "a cordon changes nothing there"
    assert as_its_speaker_sees(plain, draining(True)) is plain
    labelled = node_from(raw(metadata={"name": "n", "labels": {EXCLUDE: ""}}, spec=CORDONED))
    assert as_its_speaker_sees(labelled, draining(True)).excluded_by == (f"the label {EXCLUDE}", BY_CORDON)
    assert as_its_speaker_sees(labelled, draining(True, ignoresExcludeLabel=True)).excluded_by == (BY_CORDON,)


def test_a_cordon_that_excludes_nothing_tells_nobody() -> None:
    state, changes = ClusterState(), []
    state.set_node("n", node_from(raw(metadata={"name": "n"})))
    state.set_speaker("n", draining(False))
    state.subscribe(changes.append)
    state.set_node("n", node_from(raw(metadata={"name": "n"}, spec=CORDONED)))
    assert changes == []
    state.set_speaker("n", draining(True))
    assert state.nodes["n"].excluded_by == (BY_CORDON,)
    state.set_node("n", node_from(raw(metadata={"name": "n"})))
    assert not state.nodes["n"].is_excluded


def test_whichever_is_read_first_all_see_a_node_as_its_speaker_does() -> None:
    labelled = node_from(raw(metadata={"name": "n", "labels": {EXCLUDE: ""}}))
    state, changes = ClusterState(), []
    state.subscribe(changes.append)
    state.set_node("n", labelled)
    assert state.nodes["n"].is_excluded
    state.set_speaker("n", ignoring(True))
    assert not state.nodes["n"].is_excluded
    state.set_node("n", labelled)
    state.set_speaker("n", ignoring(False))
    assert state.nodes["n"].is_excluded
    assert [change.kind for change in changes] == [Kind.NODE, Kind.SPEAKER, Kind.NODE, Kind.SPEAKER, Kind.NODE]
    state.set_node("n", None)
    state.set_speaker("n", ignoring(True))
    assert not state.nodes, "a Node that is gone does not come back by its Speaker"
    state.set_node("n", labelled)
    assert not state.nodes["n"].is_excluded


@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute", "PreferNoSchedule"])
def test_a_node_that_an_operator_says_is_shut_down_is_out_of_service(effect) -> None:
    taint = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": effect}
    assert node_from(raw(metadata={"name": "n"}, spec={"taints": [taint]})).is_out_of_service
    assert not node_from(raw(metadata={"name": "n"}, spec={"taints": [taint | {"key": "other"}]})).is_out_of_service


def test_what_is_no_address_is_none_of_a_nodes_addresses() -> None:
    addresses = [{"type": "InternalIP", "address": text} for text in ("node-1.example", "192.0.2.1", "")]
    assert node_from(raw(metadata={"name": "n"}, status={"addresses": addresses})).addresses == ("192.0.2.1",)


def test_a_node_is_written_to_at_its_internal_addresses() -> None:
    kinds = {"192.0.2.1": "InternalIP", "2001:db8::1": "InternalIP", "198.51.100.1": "ExternalIP", "n": "Hostname"}
    addresses = [{"type": kind, "address": address} for address, kind in kinds.items()]
    assert node_from(raw(metadata={"name": "n"}, status={"addresses": addresses})).addresses == (
        "192.0.2.1",
        "2001:db8::1",
    )


def internal(*addresses: str) -> bytes:
    listed = [{"type": "InternalIP", "address": address} for address in addresses]
    return raw(metadata={"name": "n"}, status={"addresses": listed})


def test_of_a_nodes_thousands_of_addresses_the_first_two_of_each_family_count() -> None:
    many = [str(ip_address("10.0.0.1") + number) for number in range(3500)]
    assert node_from(internal(*many, "2001:db8::1", "2001:DB8:0::2", "2001:db8::3")).addresses == (
        "10.0.0.1",
        "10.0.0.2",
        "2001:db8::1",
        "2001:db8::2",
    )
    assert node_from(internal("10.0.0.1", "10.0.0.1", "10.0.0.2")).addresses == ("10.0.0.1", "10.0.0.2")


@pytest.mark.parametrize("zone", ["eth0", "x" * 100_000, "a\nannounce route 0.0.0.0/0", "\u00e9", "\0"])
def test_an_address_with_a_zone_is_none_of_a_nodes_since_that_can_be_any_text(zone) -> None:
    assert node_from(internal(f"2001:db8::1%{zone}")).addresses == ()


@pytest.mark.parametrize(("status", "is_unavailable"), [("True", True), ("False", False), ("Unknown", False)])
def test_a_nodes_network_is_unavailable_when_its_condition_says_so(status, is_unavailable) -> None:
    conditions = [{"type": "Ready", "status": "True"}, {"type": "NetworkUnavailable", "status": status}]
    read = node_from(raw(metadata={"name": "n"}, status={"conditions": conditions}))
    assert read.is_network_unavailable is is_unavailable


def test_a_nodes_heartbeat_changes_nothing() -> None:
    def at(time: str) -> bytes:
        conditions = [{"type": "Ready", "status": "True", "lastHeartbeatTime": time}]
        return raw(metadata={"name": "n", "uid": "u", "resourceVersion": time}, status={"conditions": conditions})

    assert node_from(at("1")) == node_from(at("2"))


def speaker_object(**status: object) -> bytes:
    interfaces = [
        {"name": "eth1", "mac": "02:00:00:00:00:02", "up": True, "usable": True},
        {"name": "eth0", "mac": "02:00:00:00:00:01", "up": True, "usable": True},
        {"name": "eth2", "up": False, "usable": False, "reason": "Down"},
        {"name": "lo", "up": True, "usable": False, "reason": "Loopback"},
    ]
    return raw(metadata={"name": "n", "uid": "u"}, status={"incarnation": "i", "interfaces": interfaces} | status)


def test_a_speaker_is_known_by_its_usable_interfaces_in_order() -> None:
    read = speaker_from(speaker_object())
    assert read.interfaces == ("eth0", "eth1")
    assert read.macs == {"02:00:00:00:00:01", "02:00:00:00:00:02"}
    assert not read.said_goodbye
    assert read.incarnation == Speaker.decode(speaker_object()).status.incarnation


def test_what_a_speaker_announces_and_confirms_changes_nothing_for_others() -> None:
    busy = speaker_object(released={"u1": 2}, announcements={"192.0.2.10": {"protocols": ["Layer2"]}})
    assert speaker_from(busy) == speaker_from(speaker_object())


def test_of_a_speakers_interfaces_64_count_and_what_no_interface_is_called_is_left_out() -> None:
    interfaces = [
        {"name": f"eth{number}", "mac": "02:00:00:00:00:01", "up": True, "usable": True} for number in range(66)
    ]
    assert len(speaker_from(speaker_object(interfaces=interfaces)).interfaces) == MOST_INTERFACES
    strange = [
        {"name": "a" * 16, "mac": "02:" * 19 + "02", "up": True, "usable": True},
        {"name": "", "up": True, "usable": True},
    ]
    read = speaker_from(speaker_object(interfaces=[*strange, interfaces[0]]))
    assert (read.interfaces, read.macs) == (("eth0",), {"02:00:00:00:00:01"})


def interface(name: str = "eth0", **fields: object) -> dict[str, object]:
    return {"name": name, "up": True, "usable": True} | fields


def test_a_speakers_usable_interfaces_are_kept_with_their_networks() -> None:
    interfaces = [
        interface(networks=["192.0.2.11/24", "2001:db8::11/64"], gateways=["192.0.2.1"], ipv6=True),
        interface("eth1", ipv6=False),
        interface("eth2"),
        interface("eth3", up=False, networks=["10.0.0.1/8"], ipv6=True),
    ]
    assert speaker_from(speaker_object(interfaces=interfaces)).attached == {
        "eth0": attachment("192.0.2.11/24", "2001:db8::11/64"),
        "eth1": attachment(has_ipv6=False),
        "eth2": Attached(None, has_ipv6=True),
    }


def test_another_gateway_or_address_in_the_same_network_changes_nothing_for_others() -> None:
    one = speaker_object(interfaces=[interface(networks=["192.0.2.11/24"], gateways=["192.0.2.1"], ipv6=True)])
    other = speaker_object(interfaces=[interface(networks=["192.0.2.12/24"], ipv6=True)])
    assert speaker_from(one) == speaker_from(other)


def test_of_an_interfaces_networks_8_count_and_what_is_none_is_left_out() -> None:
    many = [f"10.{number}.0.1/16" for number in range(100)]
    (read,) = speaker_from(speaker_object(interfaces=[interface(networks=many, ipv6=True)])).attached.values()
    assert len(read.networks or ()) == 8
    strange = ["", "eth0", "10.0.0.1", "10.0.0.1/32", "0.0.0.0/0", "fe80::1%eth0/64", "10.0.0.1/99"]
    (read,) = speaker_from(speaker_object(interfaces=[interface(networks=strange, ipv6=True)])).attached.values()
    assert read.networks == frozenset()


@pytest.mark.parametrize(("status", "is_serving"), [("True", True), ("False", False), ("Unknown", False)])
def test_a_speaker_serves_when_its_condition_says_so(status, is_serving) -> None:
    conditions = [{"type": "Announceable", "status": "True"}, {"type": "Ready", "status": status}]
    assert speaker_from(speaker_object(conditions=conditions)).is_serving is is_serving
    assert not speaker_from(speaker_object(conditions=conditions[:1])).is_serving


def test_a_speaker_that_served_and_is_called_silent_is_judged_by_its_signs_of_life() -> None:
    """What an allocator thinks of it must move no address."""
    ready = {"type": "Ready", "status": "Unknown", "reason": "NodeSilent"}
    read = speaker_from(speaker_object(conditions=[ready]))
    assert read.is_serving
    assert read.is_called_silent
    assert not speaker_from(speaker_object(conditions=[{**ready, "reason": "Other"}])).is_serving


def test_a_speaker_that_has_no_status_yet_can_announce_nothing() -> None:
    assert speaker_from(raw(metadata={"name": "n", "uid": "u"})).interfaces == ()


def slice_object(*endpoints: dict[str, object], **fields: object) -> bytes:
    meta = {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}}
    return raw(**{"metadata": meta, "addressType": "IPv4", "endpoints": list(endpoints)} | fields)


def endpoint(node: str | None, **conditions: object) -> dict[str, object]:
    named = {} if node is None else {"nodeName": node}
    return {"addresses": ["10.0.0.1"], "conditions": conditions} | named


def test_endpoints_count_by_what_their_conditions_say() -> None:
    read = slice_from(
        slice_object(
            endpoint("ready", ready=True),
            endpoint("unset"),
            endpoint("null", ready=None),
            endpoint("published", ready=True, serving=False),  # publishNotReadyAddresses
            endpoint("draining", ready=False, serving=True, terminating=True),
            endpoint("starting", ready=False, serving=False),
            endpoint("failing", ready=False, serving=True, terminating=False),
            endpoint("ended", ready=False, serving=False, terminating=True),
        )
    )
    assert read.ready == {"ready", "unset", "null", "published"}
    assert read.draining == {"draining"}
    assert read.service == ServiceKey("default", "web")
    assert not read.is_ready_unplaced
    assert not read.is_draining_unplaced


def test_endpoints_without_a_node_are_noticed() -> None:
    assert slice_from(slice_object(endpoint(None, ready=True))).is_ready_unplaced
    assert slice_from(slice_object(endpoint(None, ready=False, serving=True, terminating=True))).is_draining_unplaced
    assert not slice_from(slice_object(endpoint(None, ready=False))).is_ready_unplaced


def test_ready_endpoints_are_counted_where_a_node_has_several() -> None:
    ready = [endpoint(node, ready=True) for node in ("a", "b", "b", "b", None)]
    read = slice_from(slice_object(*ready, endpoint("a", ready=False)))
    assert [read.count(node) for node in ("a", "b", "c")] == [1, 3, 0]
    assert read.several is slice_from(slice_object(*ready)).several
    assert read != slice_from(slice_object(*ready, endpoint("a", ready=True)))


def test_a_slice_may_have_no_endpoints_and_no_service() -> None:
    read = slice_from(raw(metadata={"name": "x", "namespace": "default"}, addressType="IPv6", endpoints=None))
    assert read.service is None
    assert read.is_ipv6
    assert read.ready == frozenset()


def test_a_pool_is_known_by_its_labels_and_by_whether_it_is_probed() -> None:
    pool = {"metadata": {"name": "edge", "labels": {"a": "b"}}, "spec": {"addresses": ["x"]}}
    assert pool_from(raw(**pool)) == PoolFacts({"a": "b"}, False)
    pool["spec"]["duplicateAddressDetection"] = True
    assert pool_from(raw(**pool)) == PoolFacts({"a": "b"}, True)


@pytest.mark.parametrize(
    ("status", "was_announced"),
    [
        ({}, False),
        ({"announcedBy": []}, False),
        ({"announcedBy": ["node-a"]}, True),
        ({"firstAnnounced": "2026-01-02T03:04:05Z"}, True),
    ],
)
def test_an_allocation_was_announced_once_anybody_did(status, was_announced) -> None:
    spec = {"address": "192.0.2.10", "pool": "edge", "holders": []}
    meta = {"name": "v4-192-0-2-10", "uid": "u1"}
    assert allocation_from(raw(metadata=meta, spec=spec, status=status)).was_announced is was_announced


def test_an_operators_word_on_routers_is_read_as_addresses_whatever_else_is_written_there() -> None:
    text = "i1/192.0.2.1, 2001:DB8::1,tor1,, fe80::1%eth0"
    read = speaker_from(raw(metadata={"name": "n", "annotations": {"berth.dev/dropped-routers": text}}))
    assert read.dropped_routers == {"192.0.2.1", "2001:db8::1", "fe80::1%eth0"}
    many = ",".join(f"10.0.{n >> 8}.{n & 255}" for n in range(1000))
    read = speaker_from(raw(metadata={"name": "n", "annotations": {"berth.dev/dropped-routers": many}}))
    assert len(read.dropped_routers) == 256


def test_an_operators_word_on_machines_is_read_as_boot_ids_whatever_else_is_written_there() -> None:
    for text, said in (("b1, b2,,b1", {"b1", "b2"}), ("", set()), (",".join(map(str, range(100))), set("01234567"))):
        read = speaker_from(raw(metadata={"name": "n", "annotations": {"berth.dev/dead-machines": text}}))
        assert read.machines_off == said


def test_annotations_are_kept_of_the_own_node_only_and_no_long_values() -> None:
    said = raw(metadata={"name": "own", "annotations": {"a": "192.0.2.1", "long": "x" * 100_000}})
    assert node_from(said).annotations == {}
    assert node_from(said, own_node="other").annotations == {}
    assert node_from(said, own_node="own").annotations == {"a": "192.0.2.1", "long": "x" * MOST_VALUE_CHARACTERS}
