"""What `berth status` and `berth explain` cost on a cluster with many Services, against the API server stand-in.

`python -m bench.cli [--services N]`. The command runs in a process of its own, as a user runs it; the server is this
process, on the same machine. One JSON object a line: seconds until it ended, its CPU seconds, those of the server
meanwhile, and its largest memory.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.measure import tell
from crds.names import allocation_name
from crds.schema import custom_resource_definition
from crds.types import KINDS
from kube.io.client import Client
from kube.resource import IPALLOCATIONS, IPPOOLS, L2ADVERTISEMENTS, NAMESPACES, SERVICES, Resource
from lab.apiserver.server import ApiServer

DEFINITIONS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False)
CONCURRENCY = 32
TELLING = """
import sys
from pathlib import Path
from cli.__main__ import main
code = main(sys.argv[2:])
status = Path("/proc/self/status").read_text().splitlines()
Path(sys.argv[1]).write_text(next(line for line in status if line.startswith("VmHWM")))
sys.exit(code)
"""
"""The command; it tells its own memory, since what the kernel tells of a child counts its parent's before the exec."""
COMMANDS = (["status"], ["status", "--output=json"], ["explain", "svc/web-7"], ["explain", "pool/edge"], ["version"])


async def _fill(client: Client, services: int) -> None:
    for kind in KINDS:
        await client.create(DEFINITIONS, custom_resource_definition(kind))
    await client.create(NAMESPACES, {"metadata": {"name": "berth-system"}})
    await client.create(IPPOOLS, {"metadata": {"name": "edge"}, "spec": {"addresses": ["10.128.0.0/16"]}})
    await client.create(L2ADVERTISEMENTS, {"metadata": {"name": "lan"}, "spec": {}})
    todo = iter(range(services))

    async def worker() -> None:
        for number in todo:
            await _service(client, number)

    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(worker())


async def _service(client: Client, number: int) -> None:
    name, address = f"web-{number}", f"10.128.{number // 250}.{number % 250 + 1}"
    spec: dict[str, Any] = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "selector": {"app": name}}
    spec["ports"] = [{"port": 80}]
    raw = await client.create(SERVICES, {"metadata": {"name": name}, "spec": spec}, "default")
    uid = raw.partition(b'"uid":"')[2].partition(b'"')[0].decode()
    holder = {"namespace": "default", "name": name, "uid": uid, "ports": [{"protocol": "TCP", "port": 80}]}
    record = {"address": address, "pool": "edge", "holders": [holder], "trafficPolicy": "Cluster"}
    await client.create(IPALLOCATIONS, {"metadata": {"name": allocation_name(address)}, "spec": record})


def _run(kubeconfig: Path, arguments: list[str]) -> dict[str, Any]:
    """To its end: what it cost."""
    memory = kubeconfig.parent / "memory"
    began, server_began = time.monotonic(), time.process_time()
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", TELLING, str(memory), *arguments],
        {**os.environ, "KUBECONFIG": str(kubeconfig)},
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, usage = os.wait4(pid, 0)
    return {
        "command": " ".join(arguments),
        "code": os.waitstatus_to_exitcode(status),
        "seconds": round(time.monotonic() - began, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "server_cpu_seconds": round(time.process_time() - server_began, 2),
        "memory_mib": int(memory.read_text().split()[1]) // 1024,
    }


async def _measure(services: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with (
            ApiServer(Path(directory)) as server,
            await Client.connect(str(server.kubeconfig_path), user_agent="bench") as client,
        ):
            await _fill(client, services)
            for arguments in COMMANDS:
                tell("cli", **await asyncio.to_thread(_run, server.kubeconfig_path, arguments), services=services)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=10_000)
    asyncio.run(_measure(parser.parse_args().services))


if __name__ == "__main__":
    main()
