"""`berth lab` as a person uses it: up, look around, run things inside, down; and clearing up after a kill."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from cli.__main__ import main
from lab.command import COMPANION_VARIABLE, whole_lines
from lab.record import Record, members
from lab.waiting import wait_for


def berth(*arguments: str, home: Path) -> "subprocess.CompletedProcess[str]":
    """The installed command, with its state below `home`."""
    command = [str(Path(sys.executable).parent / "berth"), *arguments]
    environment = {**os.environ, "TMPDIR": str(home)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240, check=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("berth")


@pytest.fixture(scope="module")
def lab(home: Path) -> Iterator[Record]:
    up = berth("lab", "up", "--nodes=1", "--without-berth", home=home)
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        record = Record.load(home / f"berth-lab-{os.geteuid()}" / "lab")
        assert record is not None
        yield record
    finally:
        berth("lab", "down", home=home)


@pytest.mark.lab
@pytest.mark.root
@pytest.mark.usefixtures("lab")
class TestRunningLab:
    def test_status_names_hosts_addresses_and_processes(self, home: Path) -> None:
        status = berth("lab", "status", home=home)
        assert status.returncode == 0, status.stderr
        assert "172.30.0.11 fd00:30::11" in status.stdout
        assert any("apiserver" in line and "running" in line for line in status.stdout.splitlines())

    def test_exec_runs_on_the_host_in_our_directory(self, home: Path) -> None:
        address = berth("lab", "exec", "client", "--", "ip", "-brief", "address", "show", "eth0", home=home)
        assert "172.30.0.100/24" in address.stdout
        assert berth("lab", "exec", "node1", "--", "pwd", home=home).stdout.strip() == str(Path.cwd())

    def test_exec_ends_with_the_commands_own_code(self, home: Path) -> None:
        assert berth("lab", "exec", "hub", "--", "sh", "-c", "exit 7", home=home).returncode == 7

    def test_exec_on_an_unknown_host_names_the_known_ones(self, home: Path) -> None:
        refused = berth("lab", "exec", "node9", "--", "true", home=home)
        assert refused.returncode == 2
        assert "node1" in refused.stderr

    def test_kubectl_speaks_to_the_labs_api_server(self, home: Path) -> None:
        told = berth("lab", "kubectl", "get", "nodes", "-o", "name", home=home)
        assert told.stdout == "node/node1\n", told.stderr

    def test_kubectl_inside_a_host_reaches_the_api_server_too(self, home: Path) -> None:
        kubectl = str(Path(sys.executable).parent / "kubectl")
        told = berth("lab", "exec", "node1", "--", kubectl, "get", "nodes", "-o", "name", home=home)
        assert told.stdout == "node/node1\n", told.stderr

    def test_a_second_lab_of_the_same_name_is_refused(self, home: Path) -> None:
        refused = berth("lab", "up", home=home)
        assert refused.returncode == 1
        assert "is up already" in refused.stderr

    def test_a_process_that_dies_is_started_again(self, home: Path) -> None:
        directory = home / f"berth-lab-{os.geteuid()}" / "lab"

        def pid() -> int:
            record = Record.load(directory)
            assert record is not None
            return next(entry.pid for entry in record.processes if entry.name == "pod1")

        first = pid()
        os.kill(first, signal.SIGKILL)
        wait_for("it has another id", lambda: pid() != first, timeout_seconds=15)


@pytest.mark.lab
@pytest.mark.root
def test_down_clears_up_after_a_lab_that_was_killed(tmp_path: Path) -> None:
    directory = tmp_path / f"berth-lab-{os.geteuid()}" / "other"
    up = berth("lab", "--name=other", "up", "--nodes=1", "--without-berth", "--rootless", home=tmp_path)
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        record = Record.load(directory)
        assert record is not None
        assert record.rootless
        os.kill(record.owner_pid, signal.SIGKILL)
        wait_for("all of it ended with it", lambda: not set(members(record.marker)), timeout_seconds=10)
        killed = berth("lab", "--name=other", "status", home=tmp_path)
        assert killed.returncode == 1
        assert "berth lab down" in killed.stderr
    finally:
        down = berth("lab", "--name=other", "down", home=tmp_path)
    assert down.returncode == 0, down.stderr
    assert not directory.exists()


STARTS_A_LAB = """
import subprocess, sys, time
subprocess.run(["bash", "-c", 'BERTH_LAB_WITH=$PPID "$@"', "-", *sys.argv[1:]], check=True)
print("up", flush=True)
time.sleep(600)
"""


@pytest.mark.lab
@pytest.mark.root
def test_a_lab_ends_with_the_process_that_it_is_bound_to_even_if_that_is_killed(tmp_path: Path) -> None:
    up = [str(Path(sys.executable).parent / "berth"), "lab", "up", "--nodes=1", "--without-berth"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", STARTS_A_LAB, *up]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as starter:
        assert starter.stdout is not None
        try:
            assert "up\n" in iter(starter.stdout.readline, "")
            record = Record.load(tmp_path / f"berth-lab-{os.geteuid()}" / "lab")
            assert record is not None
            assert record.is_alive
            starter.kill()
            wait_for("the supervisor has ended", lambda: not record.is_alive, timeout_seconds=30)
            wait_for("all of it ended with it", lambda: not set(members(record.marker)), timeout_seconds=10)
        finally:
            starter.kill()
            berth("lab", "down", home=tmp_path)


def test_all_labs_of_the_tests_are_bound_to_them() -> None:
    assert os.environ[COMPANION_VARIABLE] == str(os.getpid())


PEERING = """
apiVersion: berth.dev/v1beta1
kind: IPPool
metadata: {name: lab}
spec: {addresses: [172.30.0.200/32]}
---
apiVersion: berth.dev/v1beta1
kind: BGPAdvertisement
metadata: {name: lab}
---
apiVersion: berth.dev/v1beta1
kind: BGPPeer
metadata: {name: router}
SPEC
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: LoadBalancer, selector: {app: example}, ports: [{port: 80}]}
"""


@pytest.mark.lab
@pytest.mark.root
def test_a_router_is_there_for_bgp_and_what_the_peer_must_say_is_printed(tmp_path: Path) -> None:
    try:
        up = berth("lab", "up", "--nodes=1", "--router=bird", home=tmp_path)
        assert up.returncode == 0, up.stdout + up.stderr
        spec = next(line.strip() for line in up.stdout.splitlines() if line.startswith("  spec: {myASN"))
        (tmp_path / "bgp.yaml").write_text(PEERING.replace("SPEC", spec))
        pods = berth("lab", "kubectl", "-n", "berth-system", "get", "pods", "--no-headers", home=tmp_path).stdout
        assert {tuple(line.split()[1:3]) for line in pods.splitlines()} == {("1/1", "Running")}
        ours = berth("lab", "kubectl", "get", "berth", home=tmp_path)
        assert ours.returncode == 0, ours.stderr
        logs = ("lab", "kubectl", "-n", "berth-system", "logs", "--tail=5")

        def has_spoken(pod: str) -> bool:
            return "Z [" in berth(*logs, pod, home=tmp_path).stdout

        for pod in (line.split()[0] for line in pods.splitlines()):
            wait_for(f"{pod} says something", partial(has_spoken, pod), timeout_seconds=30)
        applied = berth("lab", "kubectl", "apply", "-f", str(tmp_path / "bgp.yaml"), home=tmp_path)
        assert applied.returncode == 0, applied.stderr

        def has_route() -> bool:
            return "172.30.0.200" in berth("lab", "exec", "router", "--", "ip", "route", home=tmp_path).stdout

        wait_for("the router has the route", has_route, timeout_seconds=30)
    finally:
        berth("lab", "down", home=tmp_path)


def test_a_line_that_is_still_being_written_is_not_shown_yet() -> None:
    assert whole_lines("nodes: 3\n  spec: {my") == ["nodes: 3\n"]
    assert whole_lines("nodes: 3\n  spec: {myASN: 64512}\n") == ["nodes: 3\n", "  spec: {myASN: 64512}\n"]
    assert whole_lines("nod") == []


def test_commands_without_a_lab_say_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for command in (["status"], ["exec", "node1", "--", "true"], ["kubectl", "get", "nodes"]):
        assert main(["lab", *command]) == 1
        assert "berth lab up" in capsys.readouterr().err
    assert main(["lab", "down"]) == 0


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith("berth 0.")


@pytest.mark.parametrize("arguments", [["lab"], ["nonsense"]])
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: berth" in capsys.readouterr().err
