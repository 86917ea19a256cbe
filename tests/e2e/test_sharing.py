"""Services that share addresses: served at each of them, and there still when all of them change."""

from collections.abc import Iterator

import pytest

from crds.names import allocation_name
from lab.client import LabClient

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

ADDRESSES = ["172.30.0.208", "172.30.0.209"]
PORTS = {"web": 80, "alt": 8080}


def test_services_with_two_addresses_in_common_keep_them_when_both_get_another_key_and_policy(lab: LabClient) -> None:
    lab.all_serve()
    lab.pool("pool", "172.30.0.200-172.30.0.209")
    lab.advertise_all()
    share(lab, "k")
    all_are_served(lab)
    share(lab, "names", externalTrafficPolicy="Local")
    for address in ADDRESSES:
        lab.until(
            f"{address} is of both as they are", lambda address=address: terms(lab, address) == ("names", "Local")
        )
    all_are_served(lab)


def share(lab: LabClient, key: str, **spec: object) -> None:
    """As manifests for MetalLB have it, with its former prefix."""
    wish = {
        "metallb.universe.tf/loadBalancerIPs": ",".join(ADDRESSES),
        "metallb.universe.tf/allow-shared-ip": key,
    }
    for name, port in PORTS.items():
        lab.service(name, annotations=wish, ports=[{"port": port, "targetPort": 9376}], **spec)


def all_are_served(lab: LabClient) -> None:
    for name in PORTS:
        lab.condition("service", name, "berth.dev/Allocated", "Allocated")
        assert lab.addresses(name, count=2) == ADDRESSES
    for url in urls():
        answer = lab.until(f"{url} answers", lambda url=url: lab.cluster.fetch(url, timeout_seconds=1).get("body"))
        assert answer.startswith("pod ")


def urls() -> Iterator[str]:
    for address in ADDRESSES:
        for port in PORTS.values():
            yield f"http://{address}:{port}/"


def terms(lab: LabClient, address: str) -> tuple[str, str]:
    """On which it is shared by now."""
    spec = lab.get("ipallocation", allocation_name(address))["spec"]
    return spec["sharingKey"], spec["trafficPolicy"]
