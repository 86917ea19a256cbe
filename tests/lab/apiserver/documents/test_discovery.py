"""Discovery documents, against those of a real server."""

from __future__ import annotations

from typing import Any

from lab.apiserver.documents.discovery import (
    AGGREGATED,
    aggregated,
    api_group,
    api_group_list,
    api_resource_list,
    api_versions,
    wants_aggregated,
)
from lab.apiserver.kinds.builtins import BUILTINS
from lab.apiserver.kinds.customresources import resources_of
from lab.apiserver.kinds.definitionrules import default_crd
from lab.apiserver.resource import Resource
from tests.lab.apiserver.replay import steps_of

STEPS = steps_of("discovery")


def recorded(path: str) -> Any:
    return next(step["response"]["body"] for step in STEPS if step["request"]["path"] == path)


def widgets() -> list[Resource]:
    steps = steps_of("custom-resources")
    crd = steps[0]["request"]["body"]
    default_crd(crd)
    return resources_of(crd)


def test_the_small_documents_are_those_of_a_real_server() -> None:
    address = recorded("/api")["serverAddressByClientCIDRs"][0]["serverAddress"]
    assert api_versions(address) == recorded("/api")
    for path in ("/apis/discovery.k8s.io/v1", "/apis/coordination.k8s.io/v1"):
        group, version = path.split("/")[2:]
        assert api_resource_list(group, version, BUILTINS) == recorded(path)
    assert api_group("discovery.k8s.io", BUILTINS) == recorded("/apis/discovery.k8s.io")


def test_aggregated_discovery_shows_each_resource_as_a_real_server_does() -> None:
    theirs = {
        (group["metadata"]["name"], version["version"], resource["resource"]): resource
        for group in recorded("/apis")["items"]
        for version in group["versions"]
        for resource in version["resources"]
    }
    document = aggregated([*BUILTINS, *widgets()], core=False)
    compared = 0
    for group in document["items"]:
        for version in group["versions"]:
            for resource in version["resources"]:
                key = (group["metadata"]["name"], version["version"], resource["resource"])
                assert resource == theirs[key]
                compared += 1
    assert compared > 20
    assert document | {"items": []} == recorded("/apis") | {"items": []}


def test_groups_list_their_versions_and_unknown_ones_are_not_there() -> None:
    groups = {group["name"]: group for group in api_group_list([*BUILTINS, *widgets()])["groups"]}
    assert groups["example.dev"]["preferredVersion"] == {"groupVersion": "example.dev/v1", "version": "v1"}
    assert api_group("nope.dev", BUILTINS) is None
    assert api_resource_list("apps", "v9", BUILTINS) is None


def test_the_core_group_has_subresources_in_its_list() -> None:
    document = api_resource_list("", "v1", BUILTINS)
    assert document is not None
    names = [resource["name"] for resource in document["resources"]]
    assert {"services", "services/status", "nodes/status", "serviceaccounts/token"} <= set(names)


def test_aggregated_is_given_to_those_who_prefer_it() -> None:
    asked = STEPS[-1]["request"]["headers"]["Accept"]
    assert wants_aggregated(asked) == AGGREGATED
    assert wants_aggregated("application/json") is None
    assert (
        wants_aggregated("application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,application/json")
        is None
    )
