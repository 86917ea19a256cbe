"""`berth migrate metallb`: MetalLB's objects become ours, which the API server takes; what can't is refused."""

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from cli.__main__ import main
from cli.asread import documents
from cli.migrate.convert import convert
from cli.migrate.documents import read_documents, written
from cli.migrate.peers import duration
from cli.migrate.read import read_metallb
from cli.migrate.selectors import to_wire, united
from cli.migrate.told import Converted
from crds.types import KINDS
from kube.errors import NotFound
from kube.io.client import Client
from kube.resource import Resource

SAMPLES = Path(__file__).parent / "metallb"
Body = dict[str, Any]


def converted(name: str) -> Converted:
    return convert(read_documents([str(SAMPLES / name)]))


def specs(done: Converted, kind: str) -> dict[str, Body]:
    return {one.name: one.spec for one in done.made if one.kind == kind}


def one(kind: str, version: str = "v1beta1", **spec: Any) -> Converted:
    """A single object, `it`."""
    return convert([{"apiVersion": f"metallb.io/{version}", "kind": kind, "metadata": {"name": "it"}, "spec": spec}])


def refused(kind: str, version: str = "v1beta1", **spec: Any) -> str:
    done = one(kind, version, **spec)
    assert not done.made
    (found,) = done.refused
    return found.reason


@pytest.mark.parametrize("name", ["fits.yaml", "old.yaml"])
@pytest.mark.asyncio(loop_scope="module")
async def test_what_comes_out_passes_our_definitions(name: str, server: Client) -> None:
    """The CEL rules too."""
    done = converted(name)
    assert not done.refused
    resources = {
        each.KIND.kind: Resource("berth.dev", "v1beta1", each.KIND.plural, each.KIND.kind, False) for each in KINDS
    }
    for made in done.made:
        stored = json.loads(await server.create(resources[made.kind], made.to_wire()))
        _is_in(made.spec, stored["spec"], made.name)
        await server.delete(resources[made.kind], made.name)


def _is_in(part: Any, whole: Any, where: str) -> None:
    """Nothing of it was dropped as unknown."""
    if isinstance(part, dict):
        for key, value in part.items():
            assert key in whole, f"{where}.{key}"
            _is_in(value, whole[key], f"{where}.{key}")
    else:
        assert part == whole, where


def test_order_is_that_of_use() -> None:
    kinds = list(dict.fromkeys(made.kind for made in converted("fits.yaml").made))
    assert kinds == ["Community", "BFDProfile", "IPPool", "BGPPeer", "L2Advertisement", "BGPAdvertisement"]


class TestPools:
    pools = specs(converted("fits.yaml"), "IPPool")

    def test_addresses_are_written_as_ours(self) -> None:
        assert self.pools["plain"]["addresses"] == ["198.51.100.0/25", "203.0.113.10-203.0.113.40", "2001:db8::/124"]
        assert self.pools["on-request"] == {
            "addresses": ["198.51.100.128/25"],
            "autoAssign": False,
            "avoidBuggyIPs": True,
        }

    def test_priorities_are_turned_round_and_pools_without_allocation_come_last(self) -> None:
        order = sorted(self.pools, key=lambda name: -self.pools[name].get("priority", 0))
        assert order[:3] == ["first", "tenants", "last"]
        assert "priority" not in self.pools["plain"]

    def test_selectors_of_namespaces_that_one_can_say_become_one(self) -> None:
        tenants = self.pools["tenants"]
        assert tenants["namespaces"] == ["one", "two"]
        assert tenants["namespaceSelector"] == {
            "matchExpressions": [{"key": "team", "operator": "In", "values": ["blue", "red"]}]
        }
        assert tenants["serviceSelector"] == {"matchLabels": {"app": "web"}}

    def test_selectors_that_one_can_not_say_are_refused(self) -> None:
        two = [{"matchLabels": {"a": "1"}}, {"matchLabels": {"b": "1"}}]
        reason = refused("IPAddressPool", addresses=["192.0.2.0/24"], serviceAllocation={"serviceSelectors": two})
        assert "can't be said by one" in reason

    @pytest.mark.parametrize("entry", ["224.0.0.0/28", "fe80::/64", "192.0.2.9-192.0.2.1", "nonsense", "192.0.2.0/40"])
    def test_addresses_that_no_pool_has_are_refused(self, entry: str) -> None:
        assert refused("IPAddressPool", addresses=[entry])

    def test_all_that_is_wrong_is_said_at_once(self) -> None:
        reason = refused("IPAddressPool", addresses=["nonsense"], autoAssign="yes", colour="red")
        assert all(word in reason for word in ("nonsense", "autoAssign", "colour"))

    def test_an_address_that_namespaces_share_opens_its_pool_and_no_other(self) -> None:
        def service(namespace: str) -> Body:
            metadata = {
                "name": "web",
                "namespace": namespace,
                "annotations": {"metallb.universe.tf/allow-shared-ip": "k"},
            }
            status = {"loadBalancer": {"ingress": [{"ip": "203.0.113.11"}]}}
            return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {}, "status": status}

        from cli.migrate.read import decoded_services, shared_by_several

        shared = shared_by_several(decoded_services([service("one"), service("two")]))
        done = convert(read_documents([str(SAMPLES / "fits.yaml")]), shared)
        assert [name for name, spec in specs(done, "IPPool").items() if "sharing" in spec] == ["plain"]


class TestAdvertisements:
    done = converted("fits.yaml")

    def test_one_without_a_spec_is_for_all(self) -> None:
        assert specs(self.done, "L2Advertisement")["all"] == {}
        assert specs(self.done, "BGPAdvertisement")["empty"] == {}

    def test_lists_of_selectors_are_split_where_one_can_not_say_them(self) -> None:
        parts = {name: spec for name, spec in specs(self.done, "L2Advertisement").items() if name.startswith("some")}
        assert [spec["ipPoolSelector"] for spec in parts.values()] == [
            {"matchLabels": {"zone": "a"}},
            {"matchExpressions": [{"key": "speed", "operator": "Exists"}]},
        ]
        for spec in parts.values():
            assert spec["nodeSelector"]["matchExpressions"][0]["values"] == ["node1", "node2"]
            assert spec["interfaces"] == ["eth0", "bond1"]
            assert spec["preferredNodeSelectors"][0] == {"matchLabels": {"uplink": "fast"}}

    def test_names_of_communities_that_ours_can_not_have_become_values(self) -> None:
        rich = specs(self.done, "BGPAdvertisement")["rich"]
        assert rich["communities"] == ["65535:65282", "vpnOnly", "65535:65281", "large:1:2:3"]
        names = [entry["name"] for entry in specs(self.done, "Community")["names"]["communities"]]
        assert names == ["vpnOnly", "wide"]

    def test_peers_that_became_several_are_all_named(self) -> None:
        assert specs(self.done, "BGPAdvertisement")["rich"]["peers"] == ["tor", "several", "several-2"]

    @pytest.mark.parametrize(
        "spec", [{"communities": ["nosuch"]}, {"communities": ["99999:1"]}, {"aggregationLength": 33}, {"vlan": 7}]
    )
    def test_what_has_no_meaning_is_refused(self, spec: Body) -> None:
        assert refused("BGPAdvertisement", **spec)


class TestPeers:
    done = converted("fits.yaml")
    peers = specs(done, "BGPPeer")

    def test_times_are_seconds(self) -> None:
        assert self.peers["tor"]["holdTimeSeconds"] == 540
        assert self.peers["tor"]["connectRetrySeconds"] == 120
        assert self.peers["within"]["keepaliveTimeSeconds"] == 5
        assert self.peers["older"]["holdTimeSeconds"] == 12
        assert (duration("1m30.5s"), duration("90"), duration("s")) == (90.5, None, None)

    def test_what_says_nothing_of_an_internal_peer_is_left_out(self) -> None:
        assert self.peers["within"]["peerASN"] == "Internal"
        assert "ebgpMultiHop" not in self.peers["within"]
        assert self.peers["tor"]["ebgpMultiHop"] == 255

    def test_passwords_are_named_and_never_printed(self) -> None:
        assert self.peers["tor"]["passwordSecretRef"] == {"name": "berth-bgp", "key": "tor"}
        assert self.peers["older"]["passwordSecretRef"] == {"name": "berth-bgp", "key": "older"}
        text = written(self.done, is_paused=False)
        assert "never-printed" not in text
        assert "kubectl get secret secretname -n metallb-system" in text
        assert "kubectl get bgppeers.metallb.io older" in text

    def test_node_selectors_that_exclude_each_other_are_several_peers(self) -> None:
        assert self.peers["several-2"]["nodeSelector"] == {"matchLabels": {"rack": "r2", "role": "core"}}

    def test_node_selectors_that_may_overlap_are_refused(self) -> None:
        """A node that fits two would have two sessions with one router."""
        two = [{"matchLabels": {"a": "1"}}, {"matchLabels": {"b": "1"}}]
        peer = {"myASN": 1, "peerASN": 2, "peerAddress": "192.0.2.1"}
        assert "two sessions" in refused("BGPPeer", "v1beta2", **peer, nodeSelectors=two)

    @pytest.mark.parametrize(
        "spec",
        [
            {"localASN": 65000},
            {"peerAddress": ""},
            {"holdTime": "2s"},
            {"sourceAddress": "2001:db8::1"},
            {"peerASN": 0},
            {"holdTime": "soon"},
        ],
    )
    def test_what_has_no_equivalent_is_refused(self, spec: Body) -> None:
        assert refused("BGPPeer", "v1beta2", **{"myASN": 1, "peerASN": 2, "peerAddress": "192.0.2.1", **spec})

    def test_echo_of_bfd_is_refused(self) -> None:
        assert "echoMode" in refused("BFDProfile", echoMode=True)


def test_a_community_is_no_number_to_the_base_of_60() -> None:
    text = "[1234:1, 64512:30, 2026-01-01, 0x10, 7, -2, 1.5, 1e3, no]"
    assert documents(text) == [["1234:1", "64512:30", "2026-01-01", 16, 7, -2, 1.5, 1000.0, False]]
    assert specs(converted("old.yaml"), "Community")["communities"]["communities"][0]["value"] == "64512:7"


def test_the_old_format_becomes_the_same_objects() -> None:
    done = converted("old.yaml")
    assert [(made.kind, made.name) for made in done.made] == [
        ("Community", "communities"),
        ("BFDProfile", "fast"),
        ("IPPool", "lan"),
        ("IPPool", "routed"),
        ("BGPPeer", "peer-1"),
        ("L2Advertisement", "lan"),
        ("BGPAdvertisement", "routed"),
        ("BGPAdvertisement", "routed-2"),
    ]
    assert specs(done, "BGPAdvertisement")["routed"]["communities"] == ["65535:65282", "cheap"]
    assert specs(done, "BGPPeer")["peer-1"]["nodeSelector"]["matchExpressions"][0]["values"] == ["r1", "r2"]


@pytest.mark.parametrize("spec", [None, [], "text", {"addresses": "x"}, {"addresses": [1]}, {"serviceAllocation": []}])
def test_no_object_stops_the_others(spec: Any) -> None:
    bad = {"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": "bad"}, "spec": spec}
    done = convert([bad, *read_documents([str(SAMPLES / "fits.yaml")])])
    assert [found.about for found in done.refused] == ["IPAddressPool bad"]
    assert "plain" in specs(done, "IPPool")


def test_two_of_one_name_are_told_apart() -> None:
    spec = {"addresses": ["192.0.2.0/24"]}
    objects = [
        {
            "apiVersion": "metallb.io/v1beta1",
            "kind": "IPAddressPool",
            "spec": spec,
            "metadata": {"name": "a", "namespace": ns},
        }
        for ns in ("one", "two")
    ]
    assert "no namespaces" in convert(objects).refused[0].reason


@pytest.mark.parametrize("kind", ["AddressPool", "Invention"])
def test_a_kind_without_an_equivalent_is_refused(kind: str) -> None:
    assert refused(kind)


def test_raw_text_for_frr_is_refused() -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bgpextras"}, "data": {"extras": "route-map"}}
    assert "FRR" in convert([body]).refused[0].reason


def with_frr(name: str, routers: Any, kind: str = "FRRConfiguration") -> Converted:
    """MetalLB's peers, of which one is in a VRF and one has no address, beside a configuration of frr-k8s."""
    addresses: list[Body] = [{"peerAddress": "2001:db8::1"}, {"peerAddress": "192.0.2.1", "vrf": "red"}]
    bodies: list[Body] = [
        {"apiVersion": "metallb.io/v1beta2", "kind": "BGPPeer", "metadata": {"name": f"peer-{number}"}, "spec": spec}
        for number, each in enumerate([*addresses, {"interface": "eth1"}])
        if (spec := {"myASN": 64512, "peerASN": 64513, **each})
    ]
    metadata = {"name": name, "namespace": "frr-k8s-system"}
    spec = {"bgp": {"routers": routers}}
    frr = {"apiVersion": "frrk8s.metallb.io/v1beta1", "kind": kind, "metadata": metadata, "spec": spec}
    return convert([frr, *bodies])


@pytest.mark.parametrize(
    ("router", "named"),
    [
        ({"neighbors": [{"address": "198.51.100.1"}, {"address": "2001:db8:0::1"}]}, "2001:db8:0::1"),
        ({"vrf": "red", "neighbors": [{"address": "192.0.2.1", "toReceive": {}}]}, "192.0.2.1"),
        ({"neighbors": [{"interface": "eth1"}]}, "eth1"),
    ],
)
def test_a_configuration_of_frr_that_would_keep_our_session_away_is_refused(router: Body, named: str) -> None:
    done = with_frr("learned", [{"asn": 64512}, router])
    (only,) = done.refused
    assert only.about == "FRRConfiguration frr-k8s-system/learned"
    assert f"session with {named}," in only.reason
    assert [one.kind for one in done.made] == ["BGPPeer"] * 3


@pytest.mark.parametrize("routers", [[{"neighbors": [{"address": "192.0.2.1"}]}], [], None, ["x", {"neighbors": 7}]])
def test_another_configuration_of_frr_stays_and_is_named(routers: Any) -> None:
    """That router is ours in a VRF alone."""
    done = with_frr("learned", routers)
    assert done.refused == []
    assert [note for note in done.notes if note.startswith("FRRConfiguration frr-k8s-system/learned stays")]


@pytest.mark.parametrize(("name", "kind"), [("metallb-node1", "FRRConfiguration"), ("node1", "FRRNodeState")])
def test_what_metallb_and_frr_write_themselves_is_passed_over(name: str, kind: str) -> None:
    done = with_frr(name, [{"neighbors": [{"address": "2001:db8::1"}]}], kind)
    assert (done.refused, done.notes) == ([], [])


class Server:
    """Knows MetalLB's pools, and FRRConfigurations where `has_frr`. Of these it is asked for all namespaces."""

    def __init__(self, *, has_frr: bool) -> None:
        self.has_frr = has_frr

    async def list(self, res: Resource, *, namespace: str | None) -> tuple[list[bytes], str]:
        wheres = {"IPAddressPool": "metallb-system"} | ({"FRRConfiguration": None} if self.has_frr else {})
        if res.kind not in wheres:
            raise NotFound(404, "NotFound", "")
        assert namespace == wheres[res.kind]
        return [json.dumps({"metadata": {"name": "it", "namespace": "elsewhere"}}).encode()], "1"

    async def get(self, res: Resource, name: str, namespace: str) -> bytes:
        raise NotFound(404, "NotFound", "")


@pytest.mark.parametrize("has_frr", [True, False])
def test_configurations_of_frr_are_read_of_all_namespaces_where_there_are_any(has_frr: bool) -> None:
    found = asyncio.run(read_metallb(cast("Client", Server(has_frr=has_frr)), "metallb-system"))
    assert [one["kind"] for one in found] == ["IPAddressPool"] + ["FRRConfiguration"] * has_frr
    assert len(convert(found).notes) == has_frr


def test_united_selectors_choose_what_each_of_them_did() -> None:
    a, b = frozenset([("k", "In", ("1",))]), frozenset([("k", "In", ("2",)), ("z", "Exists", ())])
    assert united([a, b]) == [a, b]
    assert united([a, a | b]) == [a]
    assert [to_wire(each) for each in united([a, frozenset([("k", "In", ("2",))])])] == [
        {"matchExpressions": [{"key": "k", "operator": "In", "values": ["1", "2"]}]}
    ]


class TestCommand:
    def run(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path, *flags: str, extra: str = ""
    ) -> tuple[int, str, str]:
        (tmp_path / "a.yaml").write_text((SAMPLES / "fits.yaml").read_text() + extra)
        code = main(["migrate", "metallb", "-f", str(tmp_path), *flags])
        out = capsys.readouterr()
        return code, out.out, out.err

    bad = "---\napiVersion: metallb.io/v1beta1\nkind: BFDProfile\nmetadata: {name: echo}\nspec: {echoMode: true}\n"

    def test_it_prints_objects_with_comments(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        code, out, err = self.run(capsys, tmp_path)
        assert (code, err) == (0, "")
        assert "# from IPAddressPool metallb-system/plain" in out
        assert len([doc for doc in yaml.safe_load_all(out) if doc]) == len(converted("fits.yaml").made)

    def test_what_is_refused_keeps_all_back(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        code, out, err = self.run(capsys, tmp_path, extra=self.bad)
        assert (code, out) == (1, "")
        assert "BFDProfile echo: spec.echoMode" in err

    def test_the_rest_goes_through_with_skip(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        code, out, _ = self.run(capsys, tmp_path, "--skip", "--paused", extra=self.bad)
        assert code == 0
        assert "# Left out: BFDProfile echo" in out
        assert all(doc["spec"]["paused"] for doc in yaml.safe_load_all(out) if doc and doc["kind"] == "IPPool")
