"""The lab's flows: what is lost on the way is counted, and nothing else."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.net import hosts
from lab.net.netns import CommandFailed, Sandbox
from lab.process import Process
from lab.scripts import script
from lab.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.lab]

SEGMENT = hosts.plan_topology(2)
DROP_ALL = "table inet lossy {\n chain input {\n type filter hook input priority 0;\n tcp sport 9999 drop\n }\n}\n"


class Hosts:
    """Two nodes that serve, and a client."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        hosts.build(sandbox, SEGMENT)
        self.namespaces, self._directory = sandbox.namespaces, directory
        self.processes = [self.start(node.name, "serve", node.name) for node in SEGMENT.nodes]
        for process in self.processes:
            wait_for("it listens", lambda process=process: "listening" in self.log(process), timeout_seconds=20)

    def start(self, host: str, *words: str) -> Process:
        path = self._directory / f"{host}.log"
        process = Process(host, [*script("flow.py"), *words], log_path=path, enter=self.namespaces.enter(host))
        process.start()
        return process

    def log(self, process: Process) -> str:
        return process.log_path.read_text()

    @contextmanager
    def nothing_arrives(self) -> Iterator[None]:
        """At the client, of what servers send."""
        self.namespaces.run(hosts.CLIENT, ["nft", "-f", "-"], stdin=DROP_ALL)
        yield
        self.namespaces.run(hosts.CLIENT, ["nft", "delete", "table", "inet", "lossy"])

    def keep(self, address: object) -> Process:
        """The client's flows, once they are open."""
        process = self.start(hosts.CLIENT, "keep", str(address), "--connections=3")
        self.processes.append(process)
        wait_for("flows are open", lambda: "open" in self.log(process), timeout_seconds=20)
        return process

    def told(self, process: Process) -> list[dict]:
        process.stop()
        return [json.loads(line) for line in self.log(process).splitlines()][1:]


@pytest.fixture
def made(sandbox: Sandbox, tmp_path: Path) -> Iterator[Hosts]:
    them = Hosts(sandbox, tmp_path)
    yield them
    for process in them.processes:
        process.kill()


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_flows_that_lose_nothing_say_so(made: Hosts, family: str) -> None:
    flows = made.keep(getattr(SEGMENT.nodes[0], family))
    time.sleep(0.5)
    told = made.told(flows)
    assert [flow["server"] for flow in told] == ["node1"] * 3
    assert all(flow["lines"] == flow["answered"] > 5 for flow in told)
    assert all((flow["sent_again"], flow["error"]) == (0, "") for flow in told)


def test_a_packet_that_is_lost_on_its_way_to_the_client_is_counted(made: Hosts) -> None:
    flows = made.keep(SEGMENT.nodes[0].ipv4)
    with made.nothing_arrives():
        time.sleep(0.5)
    time.sleep(1.0)
    told = made.told(flows)
    assert all(flow["sent_again"] > 0 and flow["error"] == "" for flow in told), told


def test_a_server_that_ends_is_an_error(made: Hosts) -> None:
    flows = made.keep(SEGMENT.nodes[0].ipv4)
    made.processes[0].kill()
    time.sleep(0.3)
    assert all(flow["error"] for flow in made.told(flows))


def test_connections_are_counted_by_server(made: Hosts) -> None:
    words = [*script("flow.py"), "count", str(SEGMENT.nodes[1].ipv4), "--connections=20"]
    assert json.loads(made.namespaces.run(hosts.CLIENT, words).stdout) == {"node2": 20}


def test_a_packet_that_is_only_late_is_not_counted(made: Hosts) -> None:
    """TCP takes it for lost and sends it again, for nothing."""
    flows = made.keep(SEGMENT.nodes[0].ipv4)
    late = ["tc", "qdisc", "add", "dev", "eth0", "root", "netem", "delay", "700ms"]
    try:
        made.namespaces.run(hosts.CLIENT, late)
    except CommandFailed as error:
        pytest.skip(f"this kernel delays no packets: {error}")
    time.sleep(1.5)
    told = made.told(flows)
    assert all((flow["sent_again"], flow["error"]) == (0, "") for flow in told), told


def test_what_was_lost_while_a_flow_was_opened_is_not_counted(made: Hosts) -> None:
    """The first SYN, which is sent again after a second."""
    with made.nothing_arrives():
        process = made.start(hosts.CLIENT, "keep", str(SEGMENT.nodes[0].ipv4), "--connections=1")
        made.processes.append(process)
        time.sleep(0.7)
    wait_for("the flow is open", lambda: "open" in made.log(process), timeout_seconds=20)
    time.sleep(0.3)
    (flow,) = made.told(process)
    assert (flow["sent_again"], flow["error"]) == (0, ""), flow
    assert flow["lines"] == flow["answered"] > 5, flow
