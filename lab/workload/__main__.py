"""Keeps EndpointSlices and every node's kube-proxy rules as the API server's objects want them.

Runs in the lab's hub, as Kubernetes' own part of the cluster (its administrator). What to write is decided in
endpoints.py and kubeproxy.py; this only watches, compares and applies.
"""

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog

from kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from kube.informer.io.informer import Informer, ObjectKey
from kube.io.client import Client
from kube.resource import ENDPOINTSLICES, SERVICES, Resource
from lab.workload.endpoints import MANAGED_BY, MANAGED_BY_LABEL, slices_of
from lab.workload.healthports import HealthServers, health_ports
from lab.workload.kubeproxy import ruleset
from lab.workload.objects import Pod, TrafficService, TrafficSlice

PODS = Resource("", "v1", "pods", "Pod", True)
SETTLE_SECONDS = 0.01
RETRY_SECONDS = 0.5
NFT_SECONDS = 10.0

log = structlog.get_logger()


class Workload:
    """One round makes slices and rules equal to what the informers say; rounds follow every change."""

    def __init__(self, client: Client, node_names: list[str]) -> None:
        self._client = client
        self._applied: dict[str, str] = dict.fromkeys(node_names, "")
        self._health = {name: HealthServers(name) for name in node_names}
        self._changed = asyncio.Event()
        self._services: Informer[TrafficService] = self._informer(SERVICES, TrafficService)
        self._slices: Informer[TrafficSlice] = self._informer(ENDPOINTSLICES, TrafficSlice)
        self._pods: Informer[Pod] = self._informer(PODS, Pod)

    def _informer(self, resource: Resource, struct: type[Any]) -> Informer[Any]:
        decoder = msgspec.json.Decoder(struct)
        return Informer(self._client, resource, decoder.decode, on_change=lambda _: self._changed.set())

    async def run(self) -> None:
        """Forever."""
        async with asyncio.TaskGroup() as tasks:
            for informer in (self._services, self._slices, self._pods):
                tasks.create_task(informer.run())
            for informer in (self._services, self._slices, self._pods):
                await informer.wait_synced()
            while True:
                await self._round()
                await self._changed.wait()
                self._changed.clear()
                await asyncio.sleep(SETTLE_SECONDS)

    async def _round(self) -> None:
        try:
            await self._write_slices()
        except ApiError as error:
            log.warning("endpoint slices not written", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)
            self._changed.set()
        await self._write_rules()

    async def _write_slices(self) -> None:
        wanted: dict[ObjectKey, dict[str, Any]] = {}
        for service in self._services.items.values():
            for name, body in slices_of(service, self._pods.items.values()).items():
                wanted[ObjectKey(service.metadata.namespace, name)] = body
        ours = {k: s for k, s in self._slices.items.items() if s.metadata.labels.get(MANAGED_BY_LABEL) == MANAGED_BY}
        for key, body in wanted.items():
            if key not in ours:
                with contextlib.suppress(AlreadyExists):
                    await self._client.create(ENDPOINTSLICES, body, key.namespace)
            elif not _is_as(ours[key], body):
                await self._patch(key, body)
        for key in ours.keys() - wanted.keys():
            with contextlib.suppress(NotFound, Conflict):
                await self._client.delete(ENDPOINTSLICES, key.name, namespace=key.namespace)

    async def _patch(self, key: ObjectKey, body: Mapping[str, Any]) -> None:
        change = {"endpoints": body["endpoints"], "ports": body["ports"]}
        with contextlib.suppress(NotFound):
            await self._client.merge_patch(ENDPOINTSLICES, key.name, change, namespace=key.namespace)

    async def _write_rules(self) -> None:
        services, slices = list(self._services.items.values()), list(self._slices.items.values())
        for node_name, applied in self._applied.items():
            wanted = ruleset(node_name, services, slices)
            if wanted != applied:
                await _apply(node_name, wanted)
                self._applied[node_name] = wanted
            await self._health[node_name].serve(health_ports(node_name, services, slices))


def _is_as(existing: TrafficSlice, wanted: Mapping[str, Any]) -> bool:
    """Whether a slice says already what it should, in the fields that we write."""
    as_wanted = msgspec.convert(wanted, TrafficSlice)
    return (existing.endpoints or (), existing.ports or ()) == (as_wanted.endpoints, as_wanted.ports)


async def _apply(node_name: str, script: str) -> None:
    nft = await asyncio.create_subprocess_exec(
        *("nsenter", f"--net=/run/netns/{node_name}", "nft", "-f", "-"),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(NFT_SECONDS):
            _, said = await nft.communicate(script.encode())
    finally:
        if nft.returncode is None:
            nft.kill()
            await nft.communicate()
    if nft.returncode != 0:
        raise RuntimeError(f"nft on {node_name}: {said.decode().strip()}\n{script}")
    log.info("service rules applied", node=node_name, rules=script.count("dnat "))


async def serve(kubeconfig: str, node_names: list[str]) -> None:
    client = await Client.connect(kubeconfig, user_agent="berth-lab-workload")
    async with client:
        await Workload(client, node_names).run()


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m lab.workload", description=__doc__)
    arguments.add_argument("--kubeconfig", required=True)
    arguments.add_argument("--node-name", action="append", required=True, help="may be repeated")
    options = arguments.parse_args()
    try:
        asyncio.run(serve(options.kubeconfig, options.node_name))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
