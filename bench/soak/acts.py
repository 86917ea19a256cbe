"""What users of a cluster do, at random: Services come, change and go."""

import random
import time
from collections.abc import Mapping

from bench.soak.api import Api, service_path
from bench.soak.cluster import FIRST_BACKEND_PORT
from bench.soak.timing import Operation
from bench.soak.watcher import Watcher
from crds.names import ANNOTATION_IPS, ANNOTATION_SHARING_KEY
from kube.resource import SERVICES

POOL_IPV4 = [f"172.30.0.{number}" for number in range(200, 208)]
POOL_IPV6 = [f"fd00:30::{number}" for number in range(200, 208)]
POOL = [*POOL_IPV4, *POOL_IPV6]
SERVICE_NAMES = [f"svc{number}" for number in range(8)]
KEYS = ("red", "blue")
PORTS = (80, 81, 82, 83)


class ServiceActs:
    """Each act says what it did, or None when there was nothing to do. Raises OSError where the API gives no answer."""

    def __init__(self, api: Api, chooser: random.Random, watcher: Watcher) -> None:
        self._api, self._random, self._watcher = api, chooser, watcher
        self._due: dict[tuple[str, str], tuple[float, tuple[str, ...]]] = {}
        """By kind and Service: since when its status should show addresses, and which; none: any."""
        self.done: list[Operation] = []

    def settle(self) -> None:
        """Note which of the wishes came true since."""
        for shown in self._watcher.statuses.now:
            for kind in ("given", "moved"):
                began, wished = self._due.get((kind, shown.service), (0.0, ()))
                if began and shown.at >= began and shown.addresses and wished in ((), shown.addresses):
                    self.done.append(Operation(kind, began, shown.at))
                    del self._due[kind, shown.service]

    def create(self) -> str | None:
        name = self._random.choice(SERVICE_NAMES)
        annotations: dict[str, str] = {}
        if self._random.random() < 0.3:
            annotations[ANNOTATION_SHARING_KEY] = self._random.choice(KEYS)
        if self._random.random() < 0.3:
            annotations[ANNOTATION_IPS] = self._random.choice(POOL_IPV4)
        policy = self._random.choice(("Cluster", "Cluster", "Local"))
        port = self._random.choice(PORTS)
        families = self._random.choice((("IPv4",), ("IPv4", "IPv6"), ("IPv4", "IPv6"), ("IPv6",)))
        if "IPv4" not in families:
            annotations.pop(ANNOTATION_IPS, None)
        spec = {
            "type": "LoadBalancer",
            "selector": {"app": "example"},
            "ports": [{"port": port, "targetPort": FIRST_BACKEND_PORT + SERVICE_NAMES.index(name)}],
            "externalTrafficPolicy": policy,
            "ipFamilyPolicy": "RequireDualStack" if len(families) == 2 else "SingleStack",
            "ipFamilies": list(families),
        }
        metadata = {"name": name, "annotations": annotations}
        body = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        began = time.monotonic()
        if self._api.ask("POST", SERVICES.path(namespace="default"), body)[0] != 201:
            return None  # it is there
        if not annotations:
            self._due["given", name] = (began, ())
        return f"service {name} is created, {'+'.join(families)}, {policy}, port {port}, {annotations}"

    def delete(self) -> str | None:
        name = self._random.choice(SERVICE_NAMES)
        self._forget(name)
        return f"service {name} is deleted" if self._api.ask("DELETE", service_path(name))[0] == 200 else None

    def let_go(self) -> str | None:
        """Delete one that shows an address, so that there is a release."""
        shown = sorted(one.service for one in self._watcher.statuses.now if one.addresses)
        if not shown:
            return None
        name = self._random.choice(shown)
        self._forget(name)
        return f"service {name} is deleted" if self._api.ask("DELETE", service_path(name))[0] == 200 else None

    def flip(self) -> str | None:
        name = self._random.choice(SERVICE_NAMES)
        to = self._random.choice(("ClusterIP", "LoadBalancer"))
        spec: dict[str, object] = {"type": to}
        if to == "ClusterIP":
            spec["externalTrafficPolicy"] = None
        self._forget(name)
        return self._patch(name, {"spec": spec}, f"is {to}")

    def move(self) -> str | None:
        name, address = self._random.choice(SERVICE_NAMES), self._random.choice((*POOL_IPV4, None))
        self._forget(name)
        is_free = all(life.address != address for life in self._watcher.records.lives if life.until is None)
        had = next((one.addresses for one in self._watcher.statuses.now if one.service == name), ())
        began = time.monotonic()
        said = self._patch(name, {"metadata": {"annotations": {ANNOTATION_IPS: address}}}, f"asks for {address}")
        if said and address and is_free and len(had) == 1 and "." in had[0]:
            self._due["moved", name] = (began, (address,))
        return said

    def share(self) -> str | None:
        key = self._random.choice((*KEYS, None))
        name = self._random.choice(SERVICE_NAMES)
        self._forget(name)
        return self._patch(name, {"metadata": {"annotations": {ANNOTATION_SHARING_KEY: key}}}, f"shares by {key}")

    def change_port(self) -> str | None:
        name, port = self._random.choice(SERVICE_NAMES), self._random.choice(PORTS)
        ports = [{"port": port, "targetPort": FIRST_BACKEND_PORT + SERVICE_NAMES.index(name)}]
        return self._patch(name, {"spec": {"ports": ports}}, f"has port {port}")

    def change_policy(self) -> str | None:
        policy = self._random.choice(("Cluster", "Local"))
        return self._patch(
            self._random.choice(SERVICE_NAMES), {"spec": {"externalTrafficPolicy": policy}}, f"has policy {policy}"
        )

    def delete_all(self) -> None:
        for name in SERVICE_NAMES:
            self._api.ask("DELETE", service_path(name))

    def _patch(self, name: str, patch: Mapping[str, object], what: str) -> str | None:
        return f"service {name} {what}" if self._api.patch(service_path(name), patch) else None

    def _forget(self, name: str) -> None:
        for kind in ("given", "moved"):
            self._due.pop((kind, name), None)
