"""Tables: what `kubectl get` prints."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from lab.apiserver.http.durations import human_duration
from lab.apiserver.http.tables import builtin_printer, crd_printer, table, wants_table
from tests.lab.apiserver.replay import steps_of

STEPS = steps_of("custom-resources")
CREATED = "2026-11-23T07:00:00Z"
NOW = datetime.fromisoformat("2026-11-23T07:00:30+00:00").timestamp()


def cells(group: str, resource: str, **obj: Any) -> list[Any]:
    metadata = {"name": "x", "creationTimestamp": CREATED} | obj.pop("metadata", {})
    return builtin_printer(group, resource).cells({"metadata": metadata, **obj}, NOW)


def test_the_table_of_a_custom_resource_is_that_of_a_real_server() -> None:
    step = next(s for s in STEPS if "Table" in str(s["request"].get("headers")))
    recorded = step["response"]["body"]
    objects = [
        {
            "metadata": row["object"]["metadata"],
            "spec": {"size": row["cells"][1]},
            "status": {"conditions": [{"type": "Ready", "status": row["cells"][2]}] if row["cells"][2] else []},
        }
        for row in recorded["rows"]
    ]
    at = datetime.fromisoformat(objects[0]["metadata"]["creationTimestamp"]).timestamp()
    printer = crd_printer(STEPS[0]["request"]["body"]["spec"]["versions"][0])
    assert table(printer, objects, now=at, metadata={"resourceVersion": "280"}) == recorded
    assert wants_table(step["request"]["headers"]["Accept"])


def test_columns_convert_by_their_type() -> None:
    columns = [
        {"name": name, "type": kind, "jsonPath": path}
        for name, kind, path in [
            ("N", "integer", ".n"),
            ("S", "string", ".s"),
            ("L", "string", ".l"),
            ("M", "string", ".m[*]"),
            ("D", "date", ".d"),
            ("B", "boolean", ".b"),
            ("Bad", "integer", ".s"),
            ("None", "string", ".none"),
        ]
    ]
    obj = {"metadata": {"name": "x"}, "n": 3, "s": "t", "l": ["a", "b"], "m": ["a", "b"], "d": CREATED, "b": True}
    row = crd_printer({"additionalPrinterColumns": columns}).cells(obj, NOW)
    assert row == ["x", 3, "t", '["a","b"]', "a,b", "30s", True, None, None]


def test_a_crd_without_columns_shows_the_age() -> None:
    printer = crd_printer({})
    assert [column["name"] for column in printer.columns] == ["Name", "Age"]
    assert printer.cells({"metadata": {"name": "x", "creationTimestamp": CREATED}}, NOW) == ["x", "30s"]


@pytest.mark.parametrize(
    ("spec", "status", "external"),
    [
        ({"type": "LoadBalancer"}, {}, "<pending>"),
        (
            {"type": "LoadBalancer"},
            {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}]}},
            "192.0.2.1,2001:db8::1",
        ),
        ({"type": "LoadBalancer"}, {"loadBalancer": {"ingress": [{"hostname": "h"}]}}, "h"),
        ({"type": "ClusterIP"}, {}, "<none>"),
        ({"type": "NodePort", "externalIPs": ["192.0.2.9"]}, {}, "192.0.2.9"),
        ({"type": "ExternalName", "externalName": "a.example"}, {}, "a.example"),
    ],
)
def test_a_service_shows_its_external_address(spec: dict[str, Any], status: dict[str, Any], external: str) -> None:
    spec |= {
        "clusterIP": "10.0.0.1",
        "ports": [{"port": 80, "nodePort": 30000, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
    }
    row = cells("", "services", spec=spec | {"selector": {"b": "1", "a": "2"}}, status=status)
    assert row == ["x", spec["type"], "10.0.0.1", external, "80:30000/TCP,53/UDP", "30s", "a=2,b=1"]


def test_rows_of_other_kinds() -> None:
    node = {
        "metadata": {"labels": {"node-role.kubernetes.io/worker": ""}},
        "spec": {"unschedulable": True},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "192.0.2.7"}],
            "nodeInfo": {"kubeletVersion": "v1.36.2"},
        },
    }
    assert cells("", "nodes", **node)[1:6] == ["Ready,SchedulingDisabled", "worker", "30s", "v1.36.2", "192.0.2.7"]
    pod = {"spec": {"containers": [{}, {}], "nodeName": "n"}, "status": {"phase": "Running", "podIP": "10.1.1.1"}}
    assert cells("", "pods", **pod)[1:7] == ["0/2", "Running", "0", "30s", "10.1.1.1", "n"]
    template = {"spec": {"containers": [{"name": "c", "image": "i"}]}}
    deployment = {"spec": {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}, "template": template}}
    assert cells("apps", "deployments", **deployment) == ["x", "0/3", "0", "0", "30s", "c", "i", "a=b"]
    endpoints = [{"addresses": [f"10.0.0.{last}"]} for last in range(5)]
    endpoint_slice = {"addressType": "IPv4", "ports": [{"port": 9376}], "endpoints": endpoints}
    assert cells("discovery.k8s.io", "endpointslices", **endpoint_slice)[1:4] == [
        "IPv4",
        "9376",
        "10.0.0.0,10.0.0.1,10.0.0.2 + 2 more...",
    ]
    assert cells("coordination.k8s.io", "leases", spec={"holderIdentity": "me"}) == ["x", "me", "30s"]
    event = {
        "involvedObject": {"kind": "Service", "name": "s"},
        "type": "Normal",
        "reason": "Allocated",
        "message": "got it ",
        "lastTimestamp": CREATED,
        "source": {"component": "berth"},
    }
    assert cells("", "events", **event)[:7] == ["30s", "Normal", "Allocated", "service/s", "", "berth", "got it"]
    assert cells("", "namespaces", status={"phase": "Active"}) == ["x", "Active", "30s"]
    assert cells("", "secrets", type="Opaque", data={"a": "b"}) == ["x", "Opaque", 1, "30s"]
    assert cells("", "configmaps", data={"a": "b"}) == ["x", 1, "30s"]
    assert cells("apiextensions.k8s.io", "customresourcedefinitions") == ["x", CREATED]
    assert cells("nobody.knows", "things") == ["x", "30s"]


def test_every_row_has_a_cell_for_each_column() -> None:
    from lab.apiserver.http.builtintables import BUILTIN_ROWS

    for group, resource in BUILTIN_ROWS:
        printer = builtin_printer(group, resource)
        assert len(printer.cells({}, NOW)) == len(printer.columns), resource


def test_what_goes_with_a_row_is_asked_for() -> None:
    obj = {"metadata": {"name": "x"}, "spec": {"a": 1}}
    printer = builtin_printer("", "configmaps")
    rows = {
        include: table(printer, [obj], now=NOW, metadata={}, include_object=include)["rows"][0]
        for include in ("None", "Metadata", "Object")
    }
    assert "object" not in rows["None"]
    assert rows["Metadata"]["object"]["kind"] == "PartialObjectMetadata"
    assert rows["Object"]["object"] == obj
    assert table(printer, [], now=NOW, metadata={}, with_columns=False)["columnDefinitions"] is None


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", True),
        ("application/json;as=Table;g=meta.k8s.io;v=v1", True),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json;as=Table;v=v1;g=meta.k8s.io", True),
        ("application/json", False),
        ("application/json,application/json;as=Table;v=v1;g=meta.k8s.io", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_a_table_is_given_to_those_who_prefer_one(accept: str, wanted: bool) -> None:
    assert wants_table(accept) is wanted


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (0.4, "0s"),
        (119, "119s"),
        (120, "2m"),
        (200, "3m20s"),
        (3600, "60m"),
        (4 * 3600 + 60, "4h1m"),
        (9 * 3600, "9h"),
        (3 * 86400 + 3600, "3d1h"),
        (30 * 86400, "30d"),
        (800 * 86400, "2y70d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_ages_read_as_kubectl_prints_them(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text
