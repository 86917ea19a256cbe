"""A cluster in which anything happens in any order: users, speakers, a dying allocator, hands in the works.

What must hold at every moment: no address is on the wire in two of its lives, each of which ends with a release; within
one, whoever comes shares the key of those who are there, and has ports of its own. None is in the status of two
Services that do not share, free and held are the whole pool, and a decision repeated is the same decision. When the
trouble ends, every release ends too, and whoever can have an address has one.
"""

import json
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from allocator import keepers
from allocator.ledger import Ledger
from allocator.objects import StoredAllocation, decode_allocation
from allocator.release.barrier import LeaseBook, Round, awaited
from allocator.space.keptout import Entries, KeptBy
from crds.addresses import FAMILIES, IPAddress
from crds.ippool import KeptOutReason
from kube.objects import ServiceKey
from tests.allocator.build import address, pools, service_body
from tests.allocator.build import pool as a_pool
from tests.allocator.fakeapi import Allocator, Body, Died, FakeApi
from tests.allocator.speakers import FENCE_SECONDS, FakeSpeaker, confirmations, keep_promises, renewals
from tests.examples import examples

POOLS = pools(
    a_pool("edge", "192.0.2.10-192.0.2.11", "2001:db8::10", sharing="AnyNamespace", external_ips="Announce"),
    a_pool("few", "198.51.100.1"),
)
OTHER_POOLS = pools(
    a_pool("edge", "192.0.2.11-192.0.2.12", sharing="None"),
    a_pool("rest", "198.51.100.1", max_per_namespace=1, external_ips="Announce"),
)
EXAMPLES = int(os.environ.get("WORLD_EXAMPLES", examples(60)))
"""More for a long search: WORLD_EXAMPLES=20000 pytest tests/allocator/test_world.py"""

EXTERNAL = ("192.0.2.10", "192.0.2.11", "2001:db8::10", "198.51.100.1")
NODES_MAY_HAVE = ("192.0.2.10", "192.0.2.11", "2001:db8::10", "203.0.113.1")
KEYS = {"a": ServiceKey("default", "a"), "b": ServiceKey("default", "b"), "c": ServiceKey("other", "c")}
NAMES = tuple(KEYS)
NODES = ("n1", "n2", "n3")

names = st.sampled_from(NAMES)
nodes = st.sampled_from(NODES)
wishes = st.sampled_from(
    [
        {},
        {},
        {"annotations": {"berth.dev/ips": "192.0.2.10"}},
        {"annotations": {"berth.dev/pool": "few"}},
        {"annotations": {"berth.dev/sharing-key": "k"}, "ports": [("TCP", 80)]},
        {"annotations": {"berth.dev/sharing-key": "k"}, "ports": [("TCP", 443)]},
        {
            "annotations": {"berth.dev/sharing-key": "k"},
            "ports": [("TCP", 80)],
            "families": ["IPv4", "IPv6"],
            "policy": "PreferDualStack",
        },
        {"families": ["IPv4", "IPv6"], "policy": "RequireDualStack"},
        {"families": ["IPv6", "IPv4"], "policy": "PreferDualStack"},
        {"externalTrafficPolicy": "Local"},
        {"annotations": {"berth.dev/sharing-key": "k"}, "ports": [("TCP", 80), ("TCP", 25)]},
        {"annotations": {"berth.dev/sharing-key": "k"}, "ports": [("TCP", 443)], "externalTrafficPolicy": "Local"},
        {"annotations": {"berth.dev/sharing-key": "k2"}, "ports": [("TCP", 25)]},
        {"annotations": {"berth.dev/ips": "192.0.2.10,192.0.2.11"}},
        {"annotations": {"berth.dev/pool": "none,few,edge"}, "families": ["IPv4", "IPv6"], "policy": "PreferDualStack"},
        {"annotations": {"berth.dev/ips": "nonsense"}},
    ]
)
terms = st.sampled_from(
    [
        {"sharing-key": "k"},
        {"sharing-key": "k2"},
        {"externalTrafficPolicy": "Local", "selector": {"app": "x"}},
        {"externalTrafficPolicy": "Local", "selector": {"app": "y"}},
        {"externalTrafficPolicy": "Cluster"},
    ]
)


class World(RuleBasedStateMachine):
    """One API server, one allocator process at a time, three nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.api = FakeApi()
        self.pools = POOLS
        self.kept_out: dict[str, Entries] = {}
        self.had_before: dict[IPAddress, set[str]] = {}
        """Who held or showed an address when it came to be a node's."""
        self.now = 0.0
        self.speakers = {node: FakeSpeaker(node) for node in NODES}
        self.leases = LeaseBook()
        self.allocator = Allocator(self.api, self.pools, kept_out=self.kept_out)
        self.has_died = False
        self.together: set[tuple[str, frozenset[ServiceKey]]] = set()
        """Services that held an address together at some time."""

    @initialize(absent=st.sampled_from([(), (), ("n3",)]), wishes=st.lists(wishes, min_size=2, max_size=3))
    def start(self, absent: tuple[str, ...], wishes: list[dict[str, Any]]) -> None:
        """A cluster at work: trouble begins with something to lose."""
        for node in set(NODES) - set(absent):
            self.speakers[node].start(self.now)
        for name, wish in zip(NAMES, wishes, strict=False):
            self.create_or_change_service(name, wish)
        self.allocator.run(withdraw=False)
        self.everybody_lists()
        self.poll_leases()

    # Users

    @rule(name=names, wish=wishes)
    def create_or_change_service(self, name: str, wish: dict[str, Any]) -> None:
        key = KEYS[name]
        body = service_body(name, namespace=key.namespace, **wish)
        if key not in self.api.services:
            self.api.put_service(body)
            return

        def change(stored: Body) -> None:
            stored["metadata"]["annotations"] = body["metadata"]["annotations"]
            stored["spec"] = body["spec"]

        self.api.edit_service(key, change)

    @rule(wanted=st.sets(names, min_size=2), terms=terms)
    def change_several_in_one_apply(self, wanted: set[str], terms: dict[str, Any]) -> None:
        """What sharers have in common."""
        spec = dict(terms)
        sharing_key = spec.pop("sharing-key", None)

        def change(body: Body) -> None:
            body["spec"].update(spec)
            if sharing_key is not None:
                body["metadata"]["annotations"]["berth.dev/sharing-key"] = sharing_key

        for name in sorted(wanted):
            if KEYS[name] in self.api.services:
                self.api.edit_service(KEYS[name], change)

    @rule(name=names, other=names)
    def exchange_ports_in_one_apply(self, name: str, other: str) -> None:
        one, two = KEYS[name], KEYS[other]
        if one in self.api.services and two in self.api.services:
            ports = [self.api.services[key]["spec"]["ports"] for key in (two, one)]
            for key, its in zip((one, two), ports, strict=True):
                self.api.edit_service(key, lambda body, its=its: body["spec"].update(ports=its))

    @rule(
        name=names,
        external=st.sets(st.sampled_from(EXTERNAL), max_size=2),
        type=st.sampled_from(["LoadBalancer", "ClusterIP"]),
        policy=st.sampled_from(["Cluster", "Local"]),
    )
    def name_external_ips(self, name: str, external: set[str], type: str, policy: str) -> None:
        key = KEYS[name]
        if key in self.api.services:
            spec = {"externalIPs": sorted(external), "type": type, "externalTrafficPolicy": policy}
            self.api.edit_service(key, lambda body: body["spec"].update(spec))

    @rule(name=names)
    def stop_being_a_load_balancer(self, name: str) -> None:
        key = KEYS[name]
        if key in self.api.services:
            self.api.edit_service(key, lambda body: body["spec"].update(type="ClusterIP"))

    @rule(name=names)
    def delete_service(self, name: str) -> None:
        key = KEYS[name]
        if key in self.api.services:
            self.api.delete_service(key)

    @rule(name=names)
    def take_finalizer_off(self, name: str) -> None:
        key = KEYS[name]
        if key in self.api.services:
            self.api.edit_service(key, lambda body: body["metadata"].update(finalizers=[]))

    @rule(name=names)
    def delete_record_by_hand(self, name: str) -> None:
        """While an allocator runs that lives on: who deletes records while none does has taken the safety off."""
        held = [one for one, body in self.api.allocations.items() if body["spec"]["holders"][0]["name"] == name]
        for one in held[:1]:
            self.allocator.watch()
            self.api.delete_by_hand(one)
            self.allocator.run(withdraw=False)

    @rule(name=names)
    def edit_record_by_hand(self, name: str) -> None:
        for body in self.api.allocations.values():
            if body["spec"]["holders"][0]["name"] == name:
                body["spec"]["trafficPolicy"] = "Local"
                body["metadata"]["generation"] += 1
                self.api._stamp(body)

    @rule()
    def change_pools(self) -> None:
        self.pools = OTHER_POOLS if self.pools is POOLS else POOLS
        self.allocator.assigner.set_pools(self.pools)

    @rule(node=nodes, listed=st.sets(st.sampled_from(NODES_MAY_HAVE), max_size=2))
    def a_node_lists_other_addresses(self, node: str, listed: set[str]) -> None:
        """Or none, or it is gone."""
        self.allocator.watch()
        entries = {address(one): KeptBy(KeptOutReason.NodeAddress, node) for one in listed}
        for vip in entries.keys() - {one for each in self.kept_out.values() for one in each}:
            self.had_before[vip] = self.who_has(vip)
        self.kept_out[node] = entries
        self.allocator.assigner.keep_out(node, entries)

    def who_has(self, vip: IPAddress) -> set[str]:
        entry = self.allocator.assigner.ledger.get(vip)
        uids = {holder.uid for holder in entry.claim.holders} if entry is not None else set()
        for body in self.api.allocations.values():
            if body["spec"]["address"] == str(vip):
                uids |= {holder["uid"] for holder in body["spec"]["holders"]}
        shown = [key for key in self.api.services if str(vip) in self.api.ingress(key)]
        return uids | {self.api.services[key]["metadata"]["uid"] for key in shown}

    # The allocator

    @rule(is_told=st.booleans(), steps=st.integers(1, 12), judges=st.booleans())
    def allocator_works(self, is_told: bool, steps: int, judges: bool) -> None:
        self.catch_up()
        if is_told:
            self.allocator.watch()
        for _ in range(steps):
            self.allocator.step()
        if judges:
            self.judge_releases()
        self.now = self.allocator.now

    @rule()
    def allocator_comes_to_rest(self) -> None:
        self.catch_up()
        self.allocator.run(withdraw=False)
        self.judge_releases()
        self.allocator.run(withdraw=False)
        self.now = self.allocator.now

    def catch_up(self) -> None:
        """Its clock never goes back: it counts its own waiting also where the world's time stands still."""
        self.allocator.now = self.now = max(self.allocator.now, self.now)

    @rule(name=names, other=names)
    def somebody_else_wants_its_address(self, name: str, other: str) -> None:
        """The dangerous moment, as fast as it can be."""
        key = KEYS[name]
        shown = self.api.ingress(key) if key in self.api.services else []
        if shown and name != other:
            self.delete_service(name)
            wish = {"annotations": {"berth.dev/ips": shown[0]}, "families": ["IPv6" if ":" in shown[0] else "IPv4"]}
            self.create_or_change_service(other, wish)
            self.allocator_comes_to_rest()
            self.everybody_lists()

    @rule()
    def die_after_a_write_and_start_again(self) -> None:
        self.allocator.die_after = self.allocator.writes + 1
        self.allocator.watch()
        try:
            for _ in range(20):
                self.allocator.step()
        except Died:
            self.has_died = True
        self.allocator = Allocator(self.api, self.pools, kept_out=self.kept_out)
        self.allocator.now = self.now
        self.leases = LeaseBook()

    def judge_releases(self) -> None:
        listed = [speaker.state() for speaker in self.speakers.values() if speaker.written is not None]
        sent, by_node = max(self.now, self.allocator.now), confirmations(self.speakers.values())
        round_ = Round(listed, sent, sent, {}, self.leases, FENCE_SECONDS, confirmations=by_node)
        for vip in list(self.allocator.assigner.marks):
            mark = self.allocator.assigner.marks[vip]
            if not awaited(mark, round_):
                self.allocator.pass_barrier(vip)

    # Speakers and time

    def stored(self) -> list[StoredAllocation]:
        return [decode_allocation(json.dumps(body).encode()) for body in self.api.allocations.values()]

    @rule(node=nodes)
    def speaker_starts(self, node: str) -> None:
        if not self.speakers[node].is_running and not self.speakers[node].is_cut:
            self.speakers[node].start(self.now)

    @rule(node=nodes)
    def speaker_lists(self, node: str) -> None:
        speaker = self.speakers[node]
        if not speaker.is_running or speaker.is_cut:
            return
        if speaker.written is None or (speaker.is_old(self.now) or not speaker.has_listed):
            speaker.start(self.now)
        speaker.list(self.stored(), {name: life.number for name, life in self.api.lives.items()})

    @rule()
    def everybody_lists(self) -> None:
        for node in NODES:
            self.speaker_lists(node)

    @rule()
    def everybody_acknowledges(self) -> None:
        for node in NODES:
            self.speaker_acknowledges(node)

    @rule(node=nodes)
    def speaker_acknowledges(self, node: str) -> None:
        speaker = self.speakers[node]
        if speaker.is_running and not speaker.is_cut and speaker.has_listed:
            speaker.acknowledge()

    @rule(node=nodes)
    def speaker_is_cut_off(self, node: str) -> None:
        self.speakers[node].is_cut = True

    @rule(node=nodes)
    def speaker_is_back(self, node: str) -> None:
        self.speakers[node].is_cut = False

    @rule(node=nodes)
    def speaker_crashes(self, node: str) -> None:
        self.speakers[node].crash()

    @rule(node=nodes)
    def speaker_says_goodbye(self, node: str) -> None:
        if self.speakers[node].is_running and not self.speakers[node].is_cut:
            self.speakers[node].say_goodbye()

    @precondition(lambda self: any(not speaker.is_running for speaker in self.speakers.values()))
    @rule(node=nodes)
    def operator_deletes_a_dead_speaker(self, node: str) -> None:
        if not self.speakers[node].is_running:
            self.speakers[node].written = None

    @rule(seconds=st.sampled_from([2.0, 10.0, 40.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        """In steps in which whoever can renews its Lease, and everybody keeps his promise."""
        while seconds > 0:
            self.now += min(seconds, 2.0)
            seconds -= 2.0
            for speaker in self.speakers.values():
                if speaker.is_running and not speaker.is_cut and not speaker.is_old(self.now):
                    speaker.renew(self.now)
            keep_promises(self.speakers.values(), self.now)
            self.poll_leases()

    def poll_leases(self) -> None:
        self.leases.observe(renewals(self.speakers.values()), self.now, self.now)

    # What must hold

    @invariant()
    def no_address_is_on_the_wire_in_two_lives(self) -> None:
        """What a release ends is on no wire any more when the next holder is. Who holds it within one life, and on
        which ports, is up to those who share it (docs/decisions/013): fakeapi.Life holds records to that."""
        lives: dict[object, int] = {}
        for speaker in self.speakers.values():
            for vip, life in speaker.lives.items():
                if vip in speaker.on_wire:
                    assert lives.setdefault(vip, life) == life, f"{vip} is announced in two of its lives"

    @invariant()
    def no_port_has_a_new_holder_while_the_one_who_left_shows_the_address(self) -> None:
        """kube-proxy serves what is shown. Users who change ports in place are seen at the next step."""
        uids = {body["metadata"]["uid"]: key for key, body in self.api.services.items()}
        for name, record in self.api.allocations.items():
            spec, life = record["spec"], self.api.lives[name]
            here = {holder["uid"] for holder in spec["holders"]}
            for uid, ports in life.ports.items():
                if uid in here or uid not in uids or spec["address"] not in self.api.ingress(uids[uid]):
                    continue
                assert not any(ports & life.ports[other] for other in here), f"{uid} left {name} and still shows it"

    @invariant()
    def no_two_services_show_an_address_that_they_do_not_share(self) -> None:
        for entry in self.allocator.assigner.ledger:
            keys = [holder.key for holder in entry.claim.holders]
            self.together |= {(str(entry.address), frozenset({one, other})) for one in keys for other in keys}
        shown: dict[str, ServiceKey] = {}
        for key in self.api.services:
            for ip in self.api.ingress(key):
                other = shown.setdefault(ip, key)
                assert other == key or self.is_shared(ip, key, other), f"{ip} is shown by {key} and {other}"

    def is_shared(self, ip: str, one: ServiceKey, other: ServiceKey) -> bool:
        """By what they ask for, or by what is or was held: one that just changed its mind shows the address a while."""
        wishes = [
            self.api.services[key]["metadata"]["annotations"].get("berth.dev/sharing-key") for key in (one, other)
        ]
        entry = self.allocator.assigner.ledger.get(address(ip))
        holders = {holder.key for holder in entry.claim.holders} if entry is not None else set()
        was_shared = (ip, frozenset({one, other})) in self.together
        return (wishes[0] is not None and wishes[0] == wishes[1]) or {one, other} <= holders or was_shared

    @invariant()
    def free_and_held_are_the_whole_pool(self) -> None:
        ledger = self.allocator.assigner.ledger
        for one in ledger.pools.in_order:
            for family in FAMILIES:
                free = ledger.free_in(one, family)
                held, left_out = ledger.held_in_pool(one.name, family), ledger.left_out(one, family)
                assert free.count + held + len(left_out) == one.usable[family].capacity
                assert not any(int(vip) in free for vip in left_out)
        for entry in ledger:
            holding = ledger.pools.holding(entry.address)
            if holding is not None:
                assert not any(int(entry.address) in ledger.free_in(holding, family) for family in FAMILIES)

    @invariant()
    def nobody_gets_an_address_that_a_node_has(self) -> None:
        for entry in self.allocator.assigner.ledger:
            kept = self.allocator.assigner.ledger.taken_from(entry.claim)
            if kept is not None and kept.reason is KeptOutReason.NodeAddress:
                assert {holder.uid for holder in entry.claim.holders} <= self.had_before[entry.address]

    def teardown(self) -> None:
        """The trouble ends: so does every release, and whoever can be served is."""
        for speaker in self.speakers.values():
            speaker.is_cut = False
            if not speaker.is_running:
                speaker.written = None
        for _ in range(40):
            self.allocator.now = max(self.allocator.now, self.now)
            self.allocator.run(withdraw=False)
            self.now = max(self.allocator.now, self.now) + 1
            for node, speaker in self.speakers.items():
                self.speaker_lists(node)
                if speaker.is_running:
                    speaker.acknowledge()
            self.judge_releases()
            if not self.allocator.assigner.marks and not len(self.allocator.assigner.queue):
                break
        self.allocator.run(withdraw=False)
        assert not any(body["spec"]["releasing"] for body in self.api.allocations.values())
        for body in self.api.services.values():
            assert "deletionTimestamp" not in body["metadata"], "a deletion never ends"
        self.everybody_shows_what_is_recorded()
        self.a_rebuilt_ledger_is_the_running_one()
        self.every_decision_repeats_itself()
        self.no_two_namespaces_show_one_port()
        self.external_ips_are_recorded_for_who_names_them_and_for_nobody_else()

    def external_ips_are_recorded_for_who_names_them_and_for_nobody_else(self) -> None:
        """As far as a pool says so; whoever does not go together with the others may be left out."""
        naming: dict[str, set[str]] = {}
        for body in self.api.services.values():
            for vip in body["spec"].get("externalIPs", []):
                pool = self.pools.holding(address(vip))
                family = "IPv6" if ":" in vip else "IPv4"
                if pool is not None and pool.announces_external_ips and family in body["spec"]["ipFamilies"]:
                    naming.setdefault(vip, set()).add(body["metadata"]["uid"])
        recorded = {one["spec"]["address"]: one["spec"] for one in self.api.allocations.values()}
        for vip, spec in recorded.items():
            if spec.get("external"):
                assert {holder["uid"] for holder in spec["holders"]} <= naming.get(vip, set())
        nodes = {vip for entries in self.kept_out.values() for vip in entries}
        for vip in naming:
            assert vip in recorded or address(vip) in nodes or self.is_over_quota(vip)

    def is_over_quota(self, vip: str) -> bool:
        pool = self.pools.holding(address(vip))
        return pool is not None and pool.max_per_namespace is not None

    def no_two_namespaces_show_one_port(self) -> None:
        """kube-proxy would serve it for either of them."""
        served: dict[tuple[str, str, int], ServiceKey] = {}
        for key, body in self.api.services.items():
            for ip in self.api.ingress(key):
                for port in body["spec"]["ports"]:
                    other = served.setdefault((ip, port["protocol"], port["port"]), key)
                    assert other.namespace == key.namespace, f"{key} and {other} show {ip} with port {port['port']}"

    def everybody_shows_what_is_recorded(self) -> None:
        for key, body in self.api.services.items():
            uid = body["metadata"]["uid"]
            recorded = {
                one["spec"]["address"]
                for one in self.api.allocations.values()
                if uid in [holder["uid"] for holder in one["spec"]["holders"]] and not one["spec"].get("external")
            }
            hidden = recorded & self.where_strangers_have_its_ports(key)
            assert set(self.api.ingress(key)) == recorded - hidden
            if not self.has_died:
                assert bool(recorded) == bool(body["metadata"].get("finalizers"))
            elif recorded:  # who dies in between may leave a finalizer behind, which goes with the Service
                assert body["metadata"].get("finalizers")
            is_load_balancer = body["spec"]["type"] == "LoadBalancer"
            assert (self.api.condition(key) is not None) == is_load_balancer

    def where_strangers_have_its_ports(self, key: ServiceKey) -> set[str]:
        its = {(port["protocol"], port["port"]) for port in self.api.services[key]["spec"]["ports"]}
        return {
            one["spec"]["address"]
            for one in self.api.allocations.values()
            for holder in one["spec"]["holders"]
            if holder["namespace"] != key.namespace
            and its & {(port["protocol"], port["port"]) for port in holder["ports"]}
        }

    def a_rebuilt_ledger_is_the_running_one(self) -> None:
        rebuilt = Ledger()
        rebuilt.set_pools(self.pools)
        for source, entries in self.kept_out.items():
            rebuilt.keep_out(source, entries)
        for key in self.api.services:
            rebuilt.keep_out(keepers.source("Service", str(key)), keepers.of_service(self.api.service(key)))
        for one in self.stored():
            rebuilt.observe(one)
        self.is_the_same_at_once(rebuilt)
        running = self.allocator.assigner.ledger
        assert {one.address: one.claim for one in rebuilt} == {one.address: one.claim for one in running}
        for pool in self.pools.in_order:
            for family in FAMILIES:
                assert list(rebuilt.free_in(pool, family)) == list(running.free_in(pool, family))
                assert rebuilt.left_out(pool, family) == running.left_out(pool, family)

    def is_the_same_at_once(self, one_by_one: Ledger) -> None:
        services = {str(key): keepers.of_service(self.api.service(key)) for key in self.api.services}
        named = {keepers.source("Service", name): entries for name, entries in services.items()}
        at_once = Ledger.rebuilt(self.pools, {**self.kept_out, **named}.items(), self.stored())
        assert {one.address: one for one in at_once} == {one.address: one for one in one_by_one}
        for pool in self.pools.in_order:
            assert at_once.in_use_all_the_same(pool) == one_by_one.in_use_all_the_same(pool)
            for family in FAMILIES:
                assert list(at_once.free_in(pool, family)) == list(one_by_one.free_in(pool, family))
                assert at_once.free_in(pool, family).count == one_by_one.free_in(pool, family).count
                assert at_once.left_out(pool, family) == one_by_one.left_out(pool, family)
                assert at_once.held_in_pool(pool.name, family) == one_by_one.held_in_pool(pool.name, family)
        for key in self.api.services:
            uid = self.api.services[key]["metadata"]["uid"]
            assert at_once.held_by_uid(uid) == one_by_one.held_by_uid(uid)
            assert at_once.named_by_uid(uid) == one_by_one.named_by_uid(uid)
            assert at_once.held_by_key(key) == one_by_one.held_by_key(key)

    def every_decision_repeats_itself(self) -> None:
        before = len(self.api.log)
        for key in self.api.services:
            self.allocator.assigner.queue.add(key)
        self.allocator.run(withdraw=False)
        restarted = Allocator(self.api, self.pools, kept_out=self.kept_out)
        restarted.run(withdraw=False)
        assert self.api.log[before:] == []


World.TestCase.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestWorld = World.TestCase


def test_all_who_share_an_address_may_have_left_while_a_node_announces_it_for_them() -> None:
    """The last holder met none of the first ones; the node knows those. It is one life, so nothing was promised."""
    world, key = World(), {"berth.dev/sharing-key": "k"}
    for speaker in world.speakers.values():
        speaker.start(0.0)
    for name, port in (("a", 80), ("b", 443)):
        world.create_or_change_service(name, {"annotations": key, "ports": [("TCP", port)]})
    settle(world)
    world.speaker_is_cut_off("n1")
    world.delete_service("a")
    settle(world)
    world.create_or_change_service("c", {"annotations": key, "ports": [("TCP", 80)]})
    settle(world)
    world.delete_service("b")
    settle(world)
    shared = address("192.0.2.10")
    assert not world.speakers["n1"].on_wire[shared] & world.speakers["n2"].on_wire[shared]
    world.no_address_is_on_the_wire_in_two_lives()


def settle(world: World) -> None:
    world.allocator_comes_to_rest()
    world.everybody_lists()
    world.no_port_has_a_new_holder_while_the_one_who_left_shows_the_address()
