"""`berth migrate metallb --check`: whether Services keep their addresses, by what the allocator would do."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.__main__ import main
from cli.migrate.convert import convert
from cli.migrate.read import seen_in
from cli.migrate.services import Fate, Judged, judge, with_pools
from tests.allocator.build import service_body

Body = dict[str, Any]


def pool(name: str = "lan", *addresses: str, **spec: Any) -> Body:
    spec = {"addresses": list(addresses or ("192.0.2.0/28",)), **spec}
    return {"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": name}, "spec": spec}


def judged(*objects: Body, class_name: str | None = None) -> dict[str, Judged]:
    seen = with_pools(seen_in(objects), convert(objects).made, is_paused=True)
    return {one.key.name: one for one in judge(seen, class_name)}


def fates(*objects: Body) -> dict[str, Fate]:
    return {name: one.fate for name, one in judged(*objects).items()}


def test_what_a_pool_has_is_kept_and_the_rest_is_told() -> None:
    found = judged(
        pool(),
        service_body("kept", ingress=["192.0.2.5"]),
        service_body("asks", ingress=["192.0.2.6"], annotations={"metallb.universe.tf/loadBalancerIPs": "192.0.2.6"}),
        service_body("outside", ingress=["203.0.113.5"]),
        service_body("waits"),
        service_body("other", loadBalancerClass="example.com/lb", ingress=["203.0.113.7"]),
        service_body("nobodys", loadBalancerClass="example.com/lb", ingress=["192.0.2.7"]),
        service_body("inner", type="ClusterIP"),
    )
    assert {name: one.fate for name, one in found.items()} == {
        "kept": Fate.KEEPS,
        "asks": Fate.KEEPS,
        "outside": Fate.LOSES,
        "waits": Fate.WAITS,
        "other": Fate.NOT_SERVED,
        "nobodys": Fate.LOSES,
    }
    assert "no pool gives out 203.0.113.5" in found["outside"].why
    assert "Berth serves Services without a class" in found["nobodys"].why


def test_an_address_that_is_shared_is_kept_by_all_who_may_share_it() -> None:
    key = {"metallb.io/allow-shared-ip": "k"}
    one = service_body("one", ingress=["192.0.2.5"], annotations=key)
    two = service_body("two", ingress=["192.0.2.5"], annotations=key, ports=[("TCP", 81)])
    same = service_body("same", ingress=["192.0.2.5"], annotations=key)
    assert set(fates(pool(), one, two).values()) == {Fate.KEEPS}
    assert fates(pool(), one, same) == {"one": Fate.KEEPS, "same": Fate.LOSES}


def test_the_labels_of_its_namespace_decide_as_they_would() -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "labels": {"team": "red"}}}
    service = service_body("web", ingress=["192.0.2.5"])
    for team, fate in (("red", Fate.KEEPS), ("blue", Fate.LOSES)):
        only = {"namespaceSelectors": [{"matchLabels": {"team": team}}]}
        assert fates(pool(serviceAllocation=only), namespace, service) == {"web": fate}


def test_the_address_of_a_node_is_not_kept() -> None:
    addresses = [{"type": "InternalIP", "address": "192.0.2.5"}]
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node1"}, "status": {"addresses": addresses}}
    found = judged(pool(), node, service_body("web", ingress=["192.0.2.5"]))["web"]
    assert found.fate is Fate.LOSES


@pytest.mark.parametrize(("address", "code"), [("192.0.2.5", 0), ("203.0.113.5", 1)])
def test_the_command_counts_them(address: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump_all([pool(), service_body("web", ingress=[address]), service_body("new")]))
    assert main(["migrate", "metallb", "--check", "-f", str(path)]) == code
    out = capsys.readouterr().out
    assert "waits         default/new (no address)" in out
    assert f"{1 - code} keep their addresses, 1 have none yet, {code} would not keep theirs" in out
