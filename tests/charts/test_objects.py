"""What the chart renders is valid for Kubernetes, for many values, and hangs together."""

from typing import Any

import kubernetes_validate
import pytest
import yaml

from cli.__main__ import parser
from crds.schema import custom_resource_definition
from crds.types import KINDS
from lab.chart import CHART, IMAGE
from tests.charts.rendered import container_of, one, pod_of, rendered

pytestmark = pytest.mark.slow

VERSIONS = ("1.31", "1.37")
VALUES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "everything": {
        "image": {"repository": "registry.example/berth", "digest": f"sha256:{'a' * 64}", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "pull"}],
        "commonLabels": {"team": "net"},
        "podAnnotations": {"example.org/scrape": "yes"},
        "loadBalancerClass": "berth.dev/lan",
        "finalizer": "berth.dev/load-balancer-cleanup",
        "fenceAfterSeconds": 120,
        "log": {"level": "debug", "format": "text"},
        "serviceAccount": {"annotations": {"example.org/a": "b"}},
        "allocator": {
            "replicas": 3,
            "affinity": {"nodeAffinity": {}},
            "extraArgs": ["--x"],
            "extraEnv": [{"name": "A", "value": "b"}],
            "priorityClassName": "",
            "metrics": {"address": "::", "port": 9000},
        },
        "speaker": {
            "excludeInterfaces": "^(lo|cni.*)$",
            "heartbeat": {"port": 9002, "intervalMilliseconds": 500, "existingSecret": "ours"},
            "metrics": {"address": "0.0.0.0", "port": 9001},
            "affinity": {"nodeAffinity": {}},
            "extraArgs": ["--y"],
            "extraEnv": [{"name": "A", "value": "b"}],
            "updateStrategy": {"type": "OnDelete"},
            "tolerations": [{"operator": "Exists"}],
        },
        "metrics": {
            "secure": True,
            "existingSecret": "tls",
            "readers": [{"kind": "ServiceAccount", "name": "prometheus"}],
        },
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "relabelings": [{"action": "keep"}]},
        "dashboards": {"enabled": True, "labels": {"a": "b"}, "annotations": {"grafana_folder": "Net"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}, "excludePools": ["full"]},
    },
    "least": {
        "crds": {"enabled": False},
        "allocator": {"replicas": 1, "resources": {}, "tolerations": [], "nodeSelector": {}},
        "speaker": {
            "resources": {},
            "tolerations": [],
            "nodeSelector": {},
            "updateStrategy": {"type": "RollingUpdate"},
        },
        "admissionPolicy": {"enabled": False},
    },
    "without heartbeats": {"speaker": {"heartbeat": {"enabled": False}}},
}
each_set = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())


@each_set
def test_every_object_fits_the_schemas_of_kubernetes(values: dict[str, Any]) -> None:
    for manifest in rendered(values):
        if manifest["apiVersion"].startswith("monitoring.coreos.com"):
            continue  # not of Kubernetes
        for version in VERSIONS:
            kubernetes_validate.validate(manifest, version, strict=True)


@each_set
def test_every_namespaced_object_names_the_namespace_of_the_release(values: dict[str, Any]) -> None:
    cluster = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
    for manifest in rendered(values, namespace="elsewhere"):
        if manifest["kind"] in cluster or manifest["kind"].startswith("ValidatingAdmissionPolicy"):
            assert "namespace" not in manifest["metadata"]
        else:
            assert manifest["metadata"]["namespace"] == "elsewhere"
        for subject in manifest.get("subjects", ()):
            assert subject["namespace"] == "elsewhere"


@each_set
def test_every_object_carries_the_labels_of_the_release(values: dict[str, Any]) -> None:
    for manifest in rendered(values):
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "berth"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert values.get("commonLabels", {}).items() <= labels.items()


@each_set
@pytest.mark.parametrize(("kind", "component"), [("Deployment", "allocator"), ("DaemonSet", "speaker")])
def test_workloads_select_their_own_pods_only(values: dict[str, Any], kind: str, component: str) -> None:
    workload = one(rendered(values), kind)
    selector = workload["spec"]["selector"]["matchLabels"]
    assert selector == {
        "app.kubernetes.io/name": "berth",
        "app.kubernetes.io/instance": "berth",
        "app.kubernetes.io/component": component,
    }
    assert selector.items() <= workload["spec"]["template"]["metadata"]["labels"].items()


def test_definitions_are_those_that_the_types_make_and_stay_when_the_release_goes() -> None:
    found = {each["metadata"]["name"]: each for each in rendered() if each["kind"] == "CustomResourceDefinition"}
    for kind in KINDS:
        expected = custom_resource_definition(kind)
        manifest = found.pop(expected["metadata"]["name"])
        assert manifest["spec"] == expected["spec"]
        assert manifest["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert found == {}


def test_definitions_can_be_left_out_or_given_up() -> None:
    assert not [each for each in rendered({"crds": {"enabled": False}}) if "CustomResource" in each["kind"]]
    given_up = [each for each in rendered({"crds": {"keep": False}}) if "CustomResource" in each["kind"]]
    assert len(given_up) == len(KINDS)
    assert not any("annotations" in each["metadata"] for each in given_up)


def test_definitions_take_annotations_beside_the_one_that_keeps_them() -> None:
    wave = {"argocd.argoproj.io/sync-wave": "-10"}
    for keep, kept in ((True, {"helm.sh/resource-policy": "keep"}), (False, {})):
        made = [
            one for one in rendered({"crds": {"annotations": wave, "keep": keep}}) if "CustomResource" in one["kind"]
        ]
        assert len(made) == len(KINDS)
        assert all(one["metadata"]["annotations"] == wave | kept for one in made)


def test_definitions_come_first() -> None:
    kinds = [each["kind"] for each in rendered()]
    assert set(kinds[: len(KINDS)]) == {"CustomResourceDefinition"}


def test_hooks_run_the_command_with_the_image_and_the_account_of_the_allocator() -> None:
    objects = rendered()
    deployment = pod_of(one(objects, "Deployment"))
    for pod in (one(objects, "Job")["spec"]["template"]["spec"], one(objects, "Pod")["spec"]):
        assert pod["serviceAccountName"] == deployment["serviceAccountName"]
        assert pod["containers"][0]["image"] == deployment["containers"][0]["image"]
        assert pod["securityContext"] == deployment["securityContext"]
        assert pod["containers"][0]["securityContext"] == deployment["containers"][0]["securityContext"]
        given = parser(pod["containers"][0]["args"][0]).parse_args(pod["containers"][0]["args"])
        assert given.berth_namespace == "berth-system"
    assert not [each for each in rendered({"uninstallCheck": {"enabled": False}}) if each["kind"] == "Job"]


def version() -> str:
    return str(yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"])


def test_the_image_is_a_tag_or_a_digest() -> None:
    for workload in ("Deployment", "DaemonSet"):
        assert container_of(one(rendered(), workload))["image"] == f"{IMAGE}:{version()}"
        everything = container_of(one(rendered(VALUES["everything"]), workload))
        assert everything["image"] == f"registry.example/berth@sha256:{'a' * 64}"


def test_a_disruption_budget_only_where_there_is_a_second_replica() -> None:
    budget = one(rendered(), "PodDisruptionBudget")
    deployment = one(rendered(), "Deployment")
    assert budget["spec"]["selector"] == deployment["spec"]["selector"]
    assert not [each for each in rendered(VALUES["least"]) if each["kind"] == "PodDisruptionBudget"]


def test_allocators_keep_apart_where_they_can() -> None:
    affinity = pod_of(one(rendered(), "Deployment"))["affinity"]
    (term,) = affinity["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
    assert pod_of(one(rendered(VALUES["everything"]), "Deployment"))["affinity"] == {"nodeAffinity": {}}


def test_long_release_names_make_valid_objects() -> None:
    for manifest in rendered(release="a" * 53):
        assert len(manifest["metadata"]["name"]) <= 63
        kubernetes_validate.validate(manifest, "1.36", strict=True)


def test_a_release_under_another_name_stands_by_itself() -> None:
    objects = rendered(release="lan")
    assert one(objects, "Deployment")["metadata"]["name"] == "lan-berth-allocator"
    assert pod_of(one(objects, "DaemonSet"))["serviceAccountName"] == "lan-berth-speaker"
    binding = one(objects, "ClusterRoleBinding", "lan-berth-speaker")
    assert binding["roleRef"]["name"] == "lan-berth-speaker"
    assert binding["subjects"][0]["name"] == "lan-berth-speaker"
    policy = one(objects, "ValidatingAdmissionPolicy", "lan-berth-speaker")
    assert "berth-system:lan-berth-speaker'" in policy["spec"]["matchConditions"][0]["expression"]
