"""Load beside what is measured: a process that decodes 5,000 allocations again and again, as an agent does once."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from typing import Any

from crds.names import allocation_name

FIRST = IPv4Address("192.0.100.1")
PAGES, PAGE = 10, 500

RELIST = """
import json, sys, time
from crds.types import IPAllocation
pages = [[json.dumps(one).encode() for one in page["items"]] for page in json.load(open(sys.argv[1]))]
bodies = [json.dumps({"items": [json.loads(one) for one in page]}).encode() for page in pages]
print("ready", flush=True)
while True:
    for body in bodies:
        for one in json.loads(body)["items"]:
            IPAllocation.model_validate_json(json.dumps(one))
"""


@contextmanager
def relisting() -> Iterator[None]:
    """While the block lasts. It has begun when the block begins."""
    pages = [{"items": [_allocation(page * PAGE + number) for number in range(PAGE)]} for page in range(PAGES)]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(pages, file)
        file.flush()
        agent = subprocess.Popen([sys.executable, "-c", RELIST, file.name], stdout=subprocess.PIPE)
        try:
            assert agent.stdout is not None
            agent.stdout.readline()
            yield
        finally:
            agent.kill()
            agent.communicate()


def _allocation(number: int) -> dict[str, Any]:
    address = str(FIRST + number)
    holder = {
        "namespace": "default",
        "name": f"service-{number}",
        "uid": f"3f0c1d1e-0000-4000-8000-{number:012}",
        "ports": [{"protocol": "TCP", "port": 80}, {"protocol": "TCP", "port": 443}],
        "labels": {"app.kubernetes.io/name": f"service-{number}"},
    }
    return {
        "apiVersion": "berth.dev/v1beta1",
        "kind": "IPAllocation",
        "metadata": {"name": allocation_name(address), "uid": holder["uid"], "resourceVersion": str(number)},
        "spec": {"address": address, "pool": "pool", "holders": [holder], "trafficPolicy": "Cluster"},
        "status": {"announcedBy": ["node1"]},
    }
