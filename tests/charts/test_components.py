"""What the values of each program change, and only that: names, labels, security, probes, accounts, objects beside."""

from typing import Any

import kubernetes_validate
import pytest
import yaml

from crds.types import KINDS
from lab.chart import CHART, render
from tests.charts.rendered import container_of, one, pod_of, rendered

pytestmark = pytest.mark.slow

WORKLOADS = {"allocator": "Deployment", "speaker": "DaemonSet"}
each_program = pytest.mark.parametrize("program", WORKLOADS)


def workload(program: str, **values: Any) -> dict[str, Any]:
    return one(rendered({program: values}), WORKLOADS[program])


@each_program
def test_a_log_level_of_its_own_comes_before_the_common_one(program: str) -> None:
    objects = rendered({"log": {"level": "warning"}, program: {"logLevel": "debug"}})
    for name, kind in WORKLOADS.items():
        expected = "debug" if name == program else "warning"
        assert f"--log-level={expected}" in container_of(one(objects, kind))["args"]


@each_program
def test_labels_and_annotations_of_pods_are_added_and_nothing_selects_by_them(program: str) -> None:
    values = {
        "podAnnotations": {"a": "all", "b": "all"},
        program: {"labels": {"x": "y"}, "podAnnotations": {"a": "own"}},
    }
    made = one(rendered(values), WORKLOADS[program])
    template = made["spec"]["template"]["metadata"]
    assert template["labels"]["x"] == "y"
    assert template["annotations"] == {"a": "own", "b": "all"}
    assert "x" not in made["spec"]["selector"]["matchLabels"]


@each_program
def test_security_contexts_are_laid_over_ours(program: str) -> None:
    made = workload(program, podSecurityContext={"fsGroup": 7}, securityContext={"capabilities": {"add": ["X"]}})
    plain = workload(program)
    assert pod_of(made)["securityContext"] == pod_of(plain)["securityContext"] | {"fsGroup": 7}
    own, theirs = container_of(plain)["securityContext"], container_of(made)["securityContext"]
    assert theirs == own | {"capabilities": {"drop": ["ALL"], "add": ["X"]}}


@each_program
def test_probes_can_be_changed_left_out_and_added(program: str) -> None:
    values = {
        "livenessProbe": {"enabled": False},
        "readinessProbe": {"periodSeconds": 9},
        "startupProbe": {"enabled": True},
    }
    container = container_of(workload(program, **values))
    assert "livenessProbe" not in container
    assert container["readinessProbe"]["periodSeconds"] == 9
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["startupProbe"]["httpGet"] == container["readinessProbe"]["httpGet"] | {"path": "/healthz"}
    assert "enabled" not in container["readinessProbe"]


@each_program
def test_what_else_a_pod_can_have_goes_where_kubernetes_wants_it(program: str) -> None:
    values: dict[str, Any] = {
        "runtimeClassName": "kata",
        "revisionHistoryLimit": 2,
        "minReadySeconds": 3,
        "dnsConfig": {"nameservers": ["192.0.2.53"]},
        "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["api"]}],
        "extraContainers": [{"name": "side", "image": "x"}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    }
    made = workload(program, **values)
    kubernetes_validate.validate(made, "1.36", strict=True)
    pod = pod_of(made)
    assert (made["spec"]["revisionHistoryLimit"], made["spec"]["minReadySeconds"]) == (2, 3)
    assert (pod["runtimeClassName"], pod["dnsConfig"]) == ("kata", values["dnsConfig"])
    assert pod["hostAliases"] == values["hostAliases"]
    assert [each["name"] for each in pod["containers"]] == [program, "side"]
    assert {"name": "more", "emptyDir": {}} in pod["volumes"]
    assert values["extraVolumeMounts"][0] in pod["containers"][0]["volumeMounts"]


@each_program
def test_an_account_that_is_there_is_used_and_none_is_made(program: str) -> None:
    objects = rendered({program: {"serviceAccount": {"create": False, "name": "ours"}}})
    assert pod_of(one(objects, WORKLOADS[program]))["serviceAccountName"] == "ours"
    accounts = {each["metadata"]["name"] for each in objects if each["kind"] == "ServiceAccount"}
    assert f"berth-{program}" not in accounts
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        assert one(objects, kind, f"berth-{program}")["subjects"][0]["name"] == "ours"


def test_the_policy_is_about_the_account_that_speakers_have() -> None:
    policy = one(
        rendered({"speaker": {"serviceAccount": {"name": "ours"}}}), "ValidatingAdmissionPolicy", "berth-speaker"
    )
    assert "'system:serviceaccount:berth-system:ours'" in policy["spec"]["matchConditions"][0]["expression"]


def test_annotations_of_accounts_are_the_common_ones_and_their_own() -> None:
    values = {"serviceAccount": {"annotations": {"a": "1"}}, "speaker": {"serviceAccount": {"annotations": {"b": "2"}}}}
    objects = rendered(values)
    assert one(objects, "ServiceAccount", "berth-speaker")["metadata"]["annotations"] == {"a": "1", "b": "2"}
    assert one(objects, "ServiceAccount", "berth-allocator")["metadata"]["annotations"] == {"a": "1"}


def test_without_rbac_there_are_no_roles_and_without_an_allocator_there_is_no_deployment() -> None:
    kinds = {each["kind"] for each in rendered({"rbac": {"create": False}, "allocator": {"enabled": False}})}
    assert not kinds & {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "Deployment", "PodDisruptionBudget"}


def test_without_speakers_there_is_nothing_of_them_and_the_rest_is_as_before() -> None:
    def named(values: dict[str, Any]) -> dict[tuple[str, str], Any]:
        return {(one["kind"], one["metadata"]["name"]): one for one in rendered(values)}

    usual, alone = named({}), named({"speaker": {"enabled": False}})
    gone = set(usual) - set(alone)
    assert {kind for kind, name in gone if name == "berth-speaker"} >= {"DaemonSet", "ServiceAccount", "ClusterRole"}
    assert {name for _, name in gone} <= {"berth-speaker", "berth-allocator"}
    assert ("ValidatingAdmissionPolicy", "berth-allocator") in gone, "there is no key to make"
    assert ("Deployment", "berth-allocator") in alone
    rule = {"prometheusRule": {"enabled": True}, "speaker": {"enabled": False}}
    alerts = {
        one["alert"] for group in one(rendered(rule), "PrometheusRule")["spec"]["groups"] for one in group["rules"]
    }
    assert not alerts & {"BerthNoSpeaker", "BerthAddressNotAnnounced"}
    assert "BerthPoolExhausted" in alerts


def test_people_may_see_all_kinds_and_change_what_people_write() -> None:
    objects = rendered()
    view, edit = (one(objects, "ClusterRole", f"berth-{name}") for name in ("view", "edit"))
    assert set(view["rules"][0]["resources"]) == {kind.KIND.plural for kind in KINDS}
    assert set(view["rules"][0]["verbs"]) == {"get", "list", "watch"}
    assert not {"speakers", "ipallocations", "departedspeakers"} & set(edit["rules"][0]["resources"])
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    assert {name for name in view["metadata"]["labels"] if prefix in name} == {
        f"{prefix}{role}" for role in ("view", "edit", "admin")
    }
    assert {name for name in edit["metadata"]["labels"] if prefix in name} == {f"{prefix}admin"}
    apart = one(rendered({"rbac": {"aggregate": False}}), "ClusterRole", "berth-view")
    assert not [name for name in apart["metadata"]["labels"] if prefix in name]


def test_viewers_are_bound_for_the_whole_cluster() -> None:
    viewers = [{"kind": "Group", "name": "system:authenticated"}, {"kind": "ServiceAccount", "name": "ci"}]
    binding = one(rendered({"rbac": {"viewers": viewers}}), "ClusterRoleBinding", "berth-view")
    kubernetes_validate.validate(binding, "1.36", strict=True)
    assert [each["name"] for each in binding["subjects"]] == ["system:authenticated", "ci"]
    assert binding["subjects"][1]["namespace"] == "berth-system"


def test_a_network_policy_lets_the_allocator_reach_the_api_server_and_be_scraped() -> None:
    values = {"networkpolicies": {"enabled": True, "apiPorts": [8443], "metricsFrom": [{"namespaceSelector": {}}]}}
    objects = rendered(values)
    policy = one(objects, "NetworkPolicy")
    kubernetes_validate.validate(policy, "1.36", strict=True)
    spec = policy["spec"]
    assert spec["podSelector"] == one(objects, "Deployment")["spec"]["selector"]
    assert spec["ingress"] == [{"ports": [{"protocol": "TCP", "port": 7472}], "from": [{"namespaceSelector": {}}]}]
    assert {"protocol": "TCP", "port": 8443} in spec["egress"][0]["ports"]


def test_objects_of_the_operator_are_part_of_the_release() -> None:
    pool: dict[str, Any] = {"apiVersion": "berth.dev/v1beta1", "kind": "IPPool", "metadata": {"name": "office"}}
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-more'}"
    objects = rendered({"extraObjects": [pool, text]})
    assert one(objects, "IPPool") == pool
    assert one(objects, "ConfigMap")["metadata"]["name"] == "berth-more"


@pytest.mark.parametrize("values", [{}, {"speaker": {"heartbeat": {"enabled": False}}}], ids=str)
def test_what_is_rendered_is_the_same_each_time(values: dict[str, Any]) -> None:
    """GitOps programs render the chart again and again, and apply what differs."""
    assert render(values) == render(values)


def test_metallbs_values_that_are_refused_are_none_of_ours() -> None:
    ours = yaml.safe_load((CHART / "values.yaml").read_text())
    for path, said in yaml.safe_load((CHART / "files" / "metallb-values.yaml").read_text()).items():
        found: Any = ours
        for name in path.split("."):
            found = found.get(name) if isinstance(found, dict) else None
        assert found is None, path
        assert said
