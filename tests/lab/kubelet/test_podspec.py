"""The lab runs what the chart says: command line, environment, capabilities, account."""

import sys
from collections.abc import Sequence
from typing import Any

import pytest

from lab import chart
from lab.kubelet import podspec

PLACE = podspec.Place("berth-speaker-node2", "berth-system", "node2")


@pytest.fixture(scope="module")
def rendered() -> Sequence[dict[str, Any]]:
    return chart.render_apart({}, "berth-system")


def test_the_speakers_arguments_carry_its_node_and_namespace(rendered: Sequence[dict[str, Any]]) -> None:
    program = podspec.program_of(podspec.workload(rendered, "DaemonSet", "speaker"), PLACE)
    assert program.command[:3] == (sys.executable, "-m", "speaker")
    assert {"--node-name=node2", "--namespace=berth-system"} <= set(program.command)
    assert not any("$(" in word for word in program.command)
    assert program.environment["NODE_NAME"] == "node2"


def test_a_speaker_has_raw_sockets_ports_routes_programs_and_precedence_and_nothing_else(
    rendered: Sequence[dict[str, Any]],
) -> None:
    program = podspec.program_of(podspec.workload(rendered, "DaemonSet", "speaker"), PLACE)
    assert program.privileges == (
        "--bounding-set=-all,+net_raw,+net_bind_service,+net_admin,+bpf,+sys_nice",
        "--inh-caps=-all",
        "--no-new-privs",
    )


def test_a_mounted_secret_is_found_where_the_lab_has_put_it(rendered: Sequence[dict[str, Any]]) -> None:
    speaker = podspec.workload(rendered, "DaemonSet", "speaker")
    ((path, secret),) = podspec.secret_mounts(speaker).items()
    assert secret == "berth-heartbeat"
    program = podspec.program_of(speaker, PLACE, mounts={path: "/lab/secrets/berth-heartbeat"})
    assert "--heartbeat-key-dir=/lab/secrets/berth-heartbeat" in program.command
    assert podspec.secret_mounts(podspec.workload(rendered, "Deployment", "allocator")) == {}


def test_an_allocator_has_no_capability(rendered: Sequence[dict[str, Any]]) -> None:
    program = podspec.program_of(podspec.workload(rendered, "Deployment", "allocator"), PLACE)
    assert program.privileges[0] == "--bounding-set=-all"
    assert program.service_account == "berth-allocator"


def test_the_pod_says_what_a_token_is_bound_to(rendered: Sequence[dict[str, Any]]) -> None:
    pod = podspec.pod_of(podspec.workload(rendered, "DaemonSet", "speaker"), PLACE)
    assert (pod["metadata"]["name"], pod["spec"]["nodeName"]) == ("berth-speaker-node2", "node2")
    assert pod["spec"]["serviceAccountName"] == "berth-speaker"


def test_unknown_references_stay_as_they_are() -> None:
    manifest = {
        "spec": {"template": {"spec": {"serviceAccountName": "a", "containers": [{"command": ["x", "$(NO)"]}]}}}
    }
    assert podspec.program_of(manifest, PLACE).command == ("x", "$(NO)")


def test_a_speaker_from_an_image_is_user_0_and_writes_to_tmp_alone(rendered: Sequence[dict[str, Any]]) -> None:
    confinement = podspec.confinement_of(podspec.workload(rendered, "DaemonSet", "speaker"))
    assert (confinement.user, confinement.group) == (0, 0)
    assert confinement.capabilities == ("net_raw", "net_bind_service", "net_admin", "bpf", "sys_nice")
    assert (confinement.is_read_only, confinement.no_new_privileges) == (True, True)
    assert confinement.memory == ("/tmp",)


def test_an_allocator_from_an_image_is_nobody(rendered: Sequence[dict[str, Any]]) -> None:
    confinement = podspec.confinement_of(podspec.workload(rendered, "Deployment", "allocator"))
    assert (confinement.user, confinement.group, confinement.capabilities) == (65532, 65532, ())
    assert (confinement.is_read_only, confinement.no_new_privileges) == (True, True)
