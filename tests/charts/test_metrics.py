"""How the chart has metrics scraped: plain on the node's own address, or by HTTPS for those who may read them."""

from typing import Any

import pytest

import allocator.__main__
import speaker.__main__
from kube.process.listening import Listening, listening_of
from tests.charts.rendered import container_of, one, pod_of, rendered
from tests.charts.test_pods import _as_started

pytestmark = pytest.mark.slow

SECURE: dict[str, Any] = {"metrics": {"secure": True}}
both = pytest.mark.parametrize(
    ("kind", "program", "component"),
    [("Deployment", allocator.__main__, "allocator"), ("DaemonSet", speaker.__main__, "speaker")],
)


@both
def test_secure_metrics_have_a_port_and_health_another(
    kind: str, program: Any, component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = container_of(one(rendered(SECURE), kind))
    _as_started(container, monkeypatch)
    listening = listening_of(program.parse_arguments())
    assert (listening.is_secure, listening.certificate_directory) == (True, "")
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert listening.metrics == f"0.0.0.0:{ports['metrics']}"
    assert listening.health == ("127.0.0.1" if component == "speaker" else "0.0.0.0") + f":{ports['health']}"
    for probe in ("livenessProbe", "readinessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["port"] == "health"
        assert asked.get("host") == ("127.0.0.1" if component == "speaker" else None)
        assert "scheme" not in asked


@both
def test_plain_metrics_and_health_share_a_port(
    kind: str, program: Any, component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = container_of(one(rendered(), kind))
    _as_started(container, monkeypatch)
    address = "127.0.0.1:7482" if component == "speaker" else "0.0.0.0:7472"
    assert listening_of(program.parse_arguments()) == Listening(metrics=address)


@both
def test_a_certificate_of_the_operators_is_mounted_where_the_program_reads_it(
    kind: str, program: Any, component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = one(rendered({"metrics": {"secure": True, "existingSecret": "berth-metrics-tls"}}), kind)
    container = container_of(workload)
    _as_started(container, monkeypatch)
    directory = listening_of(program.parse_arguments()).certificate_directory
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "metrics")
    (volume,) = (each for each in pod_of(workload)["volumes"] if each["name"] == "metrics")
    assert mount == {"name": "metrics", "mountPath": directory, "readOnly": True}
    assert volume["secret"]["secretName"] == "berth-metrics-tls"
    assert volume["secret"]["optional"] is True


@both
def test_a_program_may_ask_about_tokens_where_metrics_are_secure_and_nowhere_else(
    kind: str, program: Any, component: str
) -> None:
    reviews = ["tokenreviews", "subjectaccessreviews"]
    for values, expected in ((SECURE, reviews), ({}, [])):
        rules = one(rendered(values), "ClusterRole", f"berth-{component}")["rules"]
        found = [(rule["resources"], rule["verbs"]) for rule in rules if rule["resources"][0].endswith("reviews")]
        assert found == [([each], ["create"]) for each in expected]


def test_a_role_lets_its_readers_read_metrics_and_nothing_else() -> None:
    reader = {"kind": "ServiceAccount", "name": "prometheus", "namespace": "monitoring"}
    objects = rendered({"metrics": {"secure": True, "readers": [reader]}})
    assert one(objects, "ClusterRole", "berth-metrics-reader")["rules"] == [
        {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}
    ]
    binding = one(objects, "ClusterRoleBinding", "berth-metrics-reader")
    assert (binding["roleRef"]["name"], binding["subjects"]) == ("berth-metrics-reader", [reader])


def test_a_service_monitor_finds_both_programs_by_their_services_and_sends_prometheus_own_token() -> None:
    objects = rendered({**SECURE, "serviceMonitor": {"enabled": True}})
    monitor = one(objects, "ServiceMonitor")["spec"]
    (endpoint,) = monitor["endpoints"]
    assert endpoint["scheme"] == "https"
    assert endpoint["bearerTokenFile"] == "/var/run/secrets/kubernetes.io/serviceaccount/token"
    services = [each for each in objects if each["kind"] == "Service"]
    assert len(services) == 2
    for service, kind in zip(services, ("Deployment", "DaemonSet"), strict=True):
        workload = one(objects, kind)
        assert service["spec"]["clusterIP"] == "None"
        assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert service["spec"]["selector"].items() <= labels.items()
        (port,) = service["spec"]["ports"]
        assert port["name"] == endpoint["port"]
        assert port["targetPort"] in [each["name"] for each in container_of(workload)["ports"]]


def test_a_pod_monitor_sends_the_token_of_a_secret_where_metrics_are_secure() -> None:
    pods = {"enabled": True, "tokenSecret": {"name": "scraper"}}
    (endpoint,) = one(rendered({**SECURE, "podMonitor": pods}), "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint["scheme"] == "https"
    assert endpoint["authorization"] == {"credentials": {"name": "scraper", "key": "token"}}
    assert endpoint["tlsConfig"] == {"insecureSkipVerify": True}
    plain = {"podMonitor": pods, "speaker": {"metrics": {"address": "0.0.0.0"}}}
    (endpoint,) = one(rendered(plain), "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint.keys() == {"port", "interval"}


def test_a_network_policy_lets_probes_in_from_everywhere_and_scrapes_from_where_it_says() -> None:
    source = {"namespaceSelector": {}}
    objects = rendered({**SECURE, "networkpolicies": {"enabled": True, "metricsFrom": [source]}})
    scrapes, probes = one(objects, "NetworkPolicy")["spec"]["ingress"]
    assert (scrapes["ports"][0]["port"], scrapes["from"]) == (7472, [source])
    assert (probes["ports"][0]["port"], "from" in probes) == (7474, False)
