"""How the two programs run: with no right they do not need, and long enough to say goodbye."""

import re
import sys
from typing import Any

import pytest

import allocator.__main__
import allocator.options
import speaker.__main__
import speaker.options
from crds.names import HEARTBEAT_PORT
from speaker.members.heartbeats import HeartbeatOptions
from speaker.wire.messages import Heartbeat
from tests.charts.rendered import container_of, one, pod_of, rendered

both = pytest.mark.parametrize("kind", ["Deployment", "DaemonSet"])


@both
def test_containers_can_write_nowhere_but_in_tmp_and_gain_nothing(kind: str) -> None:
    workload = one(rendered(), kind)
    security = container_of(workload)["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"]["drop"] == ["ALL"]
    assert "privileged" not in security
    assert pod_of(workload)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    writable = [mount for mount in container_of(workload)["volumeMounts"] if not mount.get("readOnly")]
    assert writable == [{"name": "tmp", "mountPath": "/tmp"}]
    assert {volume["name"]: set(volume) for volume in pod_of(workload)["volumes"]}["tmp"] == {"name", "emptyDir"}


def test_the_allocator_is_nobody_on_the_pods_network() -> None:
    pod = pod_of(one(rendered(), "Deployment"))
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert "hostNetwork" not in pod
    assert "add" not in pod["containers"][0]["securityContext"]["capabilities"]


def test_the_speaker_has_raw_sockets_ports_the_nodes_network_programs_in_it_and_precedence_and_no_more() -> None:
    pod = pod_of(one(rendered(), "DaemonSet"))
    assert pod["hostNetwork"] is True
    assert "hostPID" not in pod
    assert "hostIPC" not in pod
    security = pod["containers"][0]["securityContext"]
    assert security["capabilities"]["add"] == ["NET_RAW", "NET_BIND_SERVICE", "NET_ADMIN", "BPF", "SYS_NICE"]
    assert security["runAsUser"] == 0  # Kubernetes gives added capabilities to user 0 only


def test_where_real_time_is_off_the_speaker_may_not_run_before_others() -> None:
    container = container_of(one(rendered({"speaker": {"realTime": False}}), "DaemonSet"))
    assert "SYS_NICE" not in container["securityContext"]["capabilities"]["add"]


def test_without_blackhole_routes_and_programs_the_speaker_can_change_nothing_of_the_nodes_network() -> None:
    values = {"speaker": {"kernelAnswers": "off", "bgp": {"blackholeRoutes": False}}}
    container = container_of(one(rendered(values), "DaemonSet"))
    assert container["securityContext"]["capabilities"]["add"] == ["NET_RAW", "NET_BIND_SERVICE", "SYS_NICE"]
    assert "--no-blackhole-routes" in container["args"]


@pytest.mark.parametrize("has_blackholes", [True, False])
def test_where_kernels_answer_the_speaker_may_load_and_attach_programs(has_blackholes: bool) -> None:
    values = {"speaker": {"bgp": {"blackholeRoutes": has_blackholes}}}
    security = container_of(one(rendered(values), "DaemonSet"))["securityContext"]
    assert security["capabilities"]["add"] == ["NET_RAW", "NET_BIND_SERVICE", "NET_ADMIN", "BPF", "SYS_NICE"]


@pytest.mark.parametrize("off", ["off", False])
def test_off_is_off_also_where_yaml_took_the_word_for_false(off: object) -> None:
    container = container_of(one(rendered({"speaker": {"kernelAnswers": off}}), "DaemonSet"))
    assert "BPF" not in container["securityContext"]["capabilities"]["add"]


def test_speakers_get_the_seccomp_profile_and_the_selinux_label_that_the_values_name() -> None:
    assert "seLinuxOptions" not in pod_of(one(rendered(), "DaemonSet"))["securityContext"]
    profile = {"type": "Localhost", "localhostProfile": "berth.json"}
    values = {"speaker": {"seccompProfile": profile, "seLinuxOptions": {"type": "spc_t"}}}
    security = pod_of(one(rendered(values), "DaemonSet"))["securityContext"]
    assert security == {"seccompProfile": profile, "seLinuxOptions": {"type": "spc_t"}}


def test_speakers_run_on_control_planes_too() -> None:
    keys = {toleration["key"] for toleration in pod_of(one(rendered(), "DaemonSet"))["tolerations"]}
    assert "node-role.kubernetes.io/control-plane" in keys


def test_speakers_have_no_cpu_limit_and_are_the_last_to_be_evicted() -> None:
    pod = pod_of(one(rendered(), "DaemonSet"))
    assert "cpu" not in pod["containers"][0]["resources"]["limits"]
    assert pod["priorityClassName"] == "system-node-critical"


def test_speakers_are_replaced_one_at_a_time() -> None:
    assert one(rendered(), "DaemonSet")["spec"]["updateStrategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 1},
    }


@both
def test_a_clean_stop_has_time(kind: str) -> None:
    assert pod_of(one(rendered(), kind))["terminationGracePeriodSeconds"] >= 30


@pytest.mark.parametrize("ignored", [True, False])
def test_speakers_ignore_the_label_of_control_planes_only_when_told_to(
    ignored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = container_of(one(rendered({"speaker": {"ignoreExcludeLabel": ignored}}), "DaemonSet"))
    _as_started(container, monkeypatch)
    assert speaker.__main__.parse_arguments().options.ignores_exclude_label is ignored


@pytest.mark.parametrize(
    ("values", "limit"),
    [
        ({}, "512Mi"),
        ({"bgp": {"peersPerNode": 20}}, "512Mi"),
        ({"bgp": {"peersPerNode": 40}}, "912Mi"),
        ({"bgp": {"peersPerNode": 40}, "resources": {"limits": {"memory": "2Gi"}}}, "2Gi"),
        ({"bgp": {"peersPerNode": 40}, "resources": {"limits": {"memory": None}}}, None),
    ],
)
def test_the_memory_limit_of_speakers_follows_the_bgp_peers_of_a_node(
    values: dict[str, Any], limit: str | None
) -> None:
    resources = container_of(one(rendered({"speaker": values}), "DaemonSet"))["resources"]
    assert (resources.get("limits") or {}).get("memory") == limit
    assert resources["requests"] == {"cpu": "50m", "memory": "96Mi"}


@pytest.mark.parametrize("drains", [True, False])
def test_speakers_take_a_cordon_for_a_drain_only_when_told_to(drains: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    container = container_of(one(rendered({"speaker": {"drainWhenCordoned": drains}}), "DaemonSet"))
    _as_started(container, monkeypatch)
    assert speaker.__main__.parse_arguments().options.drains_when_cordoned is drains


def test_arguments_follow_the_values() -> None:
    values: dict[str, Any] = {
        "loadBalancerClass": "berth.dev/lan",
        "finalizer": "berth.dev/cleanup",
        "formerFinalizers": ["berth.dev/a", "berth.dev/b"],
        "fenceAfterSeconds": 90,
        "log": {"level": "debug", "format": "text"},
        "allocator": {"lease": {"durationSeconds": 20}, "extraArgs": ["--more"]},
        "speaker": {
            "lease": {"durationSeconds": 9, "renewSeconds": 3},
            "failbackAfterSeconds": 60,
            "bgp": {"drainSeconds": 2.5},
            "heartbeat": {"port": 7000, "intervalMilliseconds": 400},
            "excludeInterfaces": "^(lo|docker.*)$",
        },
    }
    objects = rendered(values)
    assert container_of(one(objects, "Deployment"))["args"] == [
        "--namespace=$(POD_NAMESPACE)",
        "--identity=$(POD_NAME)",
        "--load-balancer-class=berth.dev/lan",
        "--finalizer=berth.dev/cleanup",
        "--former-finalizers=berth.dev/a,berth.dev/b",
        "--fence-after-seconds=90",
        "--lease-duration-seconds=20",
        "--heartbeat-secret=berth-heartbeat",
        "--metrics-listen=0.0.0.0:7472",
        "--log-level=debug",
        "--log-format=text",
        "--more",
    ]
    assert container_of(one(objects, "DaemonSet"))["args"] == [
        "--namespace=$(POD_NAMESPACE)",
        "--node-name=$(NODE_NAME)",
        "--fence-after-seconds=90",
        "--lease-duration-seconds=9",
        "--renew-seconds=3",
        "--failback-after-seconds=60",
        "--bgp-drain-seconds=2.5",
        "--heartbeat-key-dir=/etc/berth/heartbeat",
        "--heartbeat-port=7000",
        "--heartbeat-interval-milliseconds=400",
        "--exclude-interfaces=^(lo|docker.*)$",
        "--kernel-answers=auto",
        "--metrics-listen=127.0.0.1:7482",
        "--log-level=debug",
        "--log-format=text",
    ]


def test_the_allocator_makes_the_secret_that_speakers_mount_and_the_chart_renders_none() -> None:
    """A key in the chart would be another one at each rendering."""
    objects = rendered()
    assert not [each for each in objects if each["kind"] == "Secret"]
    (volume,) = (each for each in pod_of(one(objects, "DaemonSet"))["volumes"] if "secret" in each)
    assert volume["secret"] == {"secretName": "berth-heartbeat", "defaultMode": 0o400, "optional": True}
    assert "--heartbeat-secret=berth-heartbeat" in container_of(one(objects, "Deployment"))["args"]
    (mount,) = (each for each in container_of(one(objects, "DaemonSet"))["volumeMounts"] if each.get("readOnly"))
    assert f"--heartbeat-key-dir={mount['mountPath']}" in container_of(one(objects, "DaemonSet"))["args"]
    assert not any("secret" in each for each in pod_of(one(objects, "Deployment"))["volumes"])


@pytest.mark.parametrize("heartbeat", [{"existingSecret": "ours"}, {"enabled": False}], ids=str)
def test_where_no_secret_is_to_be_made_the_allocator_has_no_right_to_one(heartbeat: dict[str, Any]) -> None:
    objects = rendered({"speaker": {"heartbeat": heartbeat}})
    assert not [each for each in container_of(one(objects, "Deployment"))["args"] if "heartbeat" in each]
    role = one(objects, "Role", "berth-allocator")
    assert not [rule for rule in role["rules"] if "secrets" in rule["resources"]]
    policies = [each for each in objects if each["kind"].startswith("ValidatingAdmissionPolicy")]
    assert {each["metadata"]["name"] for each in policies} == {"berth-speaker"}


def test_the_operators_own_secret_takes_the_place_of_the_charts() -> None:
    objects = rendered({"speaker": {"heartbeat": {"existingSecret": "ours"}}})
    assert not [each for each in objects if each["kind"] == "Secret"]
    (volume,) = (each for each in pod_of(one(objects, "DaemonSet"))["volumes"] if "secret" in each)
    assert volume["secret"]["secretName"] == "ours"


def test_heartbeats_can_be_turned_off() -> None:
    objects = rendered({"speaker": {"heartbeat": {"enabled": False}}})
    speaker = container_of(one(objects, "DaemonSet"))
    assert not [each for each in objects if each["kind"] == "Secret"]
    assert not [argument for argument in speaker["args"] if "heartbeat" in argument]
    assert [mount["name"] for mount in speaker["volumeMounts"]] == ["tmp"]
    assert [port["name"] for port in speaker["ports"]] == ["metrics"]


@both
def test_what_arguments_refer_to_is_in_the_environment(kind: str) -> None:
    container = container_of(one(rendered(), kind))
    names = {variable["name"] for variable in container["env"]}
    for argument in container["args"]:
        if "$(" in argument:
            assert argument.partition("$(")[2].partition(")")[0] in names


def test_addresses_of_ipv6_stand_in_brackets() -> None:
    values = {
        "allocator": {"metrics": {"address": "::", "port": 1}},
        "speaker": {"metrics": {"address": "::1", "port": 2}},
    }
    objects = rendered(values)
    assert "--metrics-listen=[::]:1" in container_of(one(objects, "Deployment"))["args"]
    assert "--metrics-listen=[::1]:2" in container_of(one(objects, "DaemonSet"))["args"]


@pytest.mark.parametrize(
    ("address", "host"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::1", "::1")]
)
def test_probes_reach_the_speaker_where_it_listens(address: str, host: str) -> None:
    container = container_of(one(rendered({"speaker": {"metrics": {"address": address, "port": 7482}}}), "DaemonSet"))
    for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": "metrics", "host": host}


def test_pod_monitors_scrape_both() -> None:
    objects = rendered({"podMonitor": {"enabled": True}, "speaker": {"metrics": {"address": "0.0.0.0", "port": 7482}}})
    monitor = one(objects, "PodMonitor")["spec"]
    for kind in ("Deployment", "DaemonSet"):
        workload = one(objects, kind)
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert monitor["selector"]["matchLabels"].items() <= labels.items()
        assert monitor["podMetricsEndpoints"][0]["port"] in [port["name"] for port in container_of(workload)["ports"]]


def _as_started(container: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line that the container's process sees."""
    arguments = [re.sub(r"\$\((\w+)\)", r"\1", argument) for argument in container["args"]]
    monkeypatch.setattr(sys, "argv", [container["command"][-1], *arguments])


EVERY_OPTION = {
    "loadBalancerClass": "berth.dev/lan",
    "fenceAfterSeconds": 90,
    "log": {"level": "warning", "format": "text"},
    "speaker": {"excludeInterfaces": "^lo$"},
}


def test_the_allocator_understands_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    container = container_of(one(rendered(EVERY_OPTION), "Deployment"))
    _as_started(container, monkeypatch)
    given = allocator.__main__.parse_arguments()
    assert given.load_balancer_class == "berth.dev/lan"
    assert given.fence_after_seconds == 90
    assert given.metrics_listen == "0.0.0.0:7472"
    assert given.identity == "POD_NAME"


def test_the_charts_defaults_are_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = rendered()
    _as_started(container_of(one(objects, "Deployment")), monkeypatch)
    given = allocator.__main__.parse_arguments()
    options = allocator.options.Options(given.namespace, given.identity)
    assert (given.load_balancer_class, given.finalizer) == (options.load_balancer_class, options.finalizer)
    assert tuple(given.former_finalizers.split(",")) == options.former_finalizers
    assert given.fence_after_seconds == options.fence_after_seconds
    assert given.lease_duration_seconds == options.lease_duration_seconds
    _as_started(container_of(one(objects, "DaemonSet")), monkeypatch)
    chosen = speaker.__main__.parse_arguments().options
    heartbeats = HeartbeatOptions(key_directory=chosen.heartbeats.key_directory)
    assert chosen == speaker.options.Options(
        chosen.node, chosen.incarnation, chosen.namespace, heartbeats=heartbeats, boot_id=chosen.boot_id
    )
    assert {heartbeats.port, Heartbeat("n", "i").port} == {HEARTBEAT_PORT}


def test_the_speaker_understands_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    container = container_of(one(rendered(EVERY_OPTION), "DaemonSet"))
    _as_started(container, monkeypatch)
    given = speaker.__main__.parse_arguments()
    assert given.node_name == "NODE_NAME"
    assert given.exclude_interfaces.pattern == "^lo$"
    assert given.renew_seconds == 2
    assert given.kubeconfig is None


def test_an_allocator_whose_release_has_no_speakers_is_told() -> None:
    arguments = container_of(one(rendered({"speaker": {"enabled": False}}), "Deployment"))["args"]
    assert "--no-speakers" in arguments
    assert "--no-speakers" not in container_of(one(rendered(), "Deployment"))["args"]


def test_interfaces_are_left_out_besides_the_programs_own_list(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = container_of(one(rendered({"speaker": {"extraExcludeInterfaces": "bond9"}}), "DaemonSet"))["args"]
    monkeypatch.setattr(sys, "argv", ["speaker", *(each for each in arguments if "exclude" in each), "--node-name=n"])
    pattern = re.compile(speaker.__main__.excluded(speaker.__main__.parse_arguments()))
    assert [name for name in ("lo", "bond9", "eth0", "bond90") if pattern.fullmatch(name)] == ["lo", "bond9"]
