"""Reads a cluster for a command: each list in pages, all lists at the same time, decoded object by object.

A list that can't be read is a gap that is told, and the rest goes on. An object that can't be decoded is left out, as
by the allocator.
"""

import argparse
import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from allocator.objects import (
    StoredAllocation,
    decode_allocation,
    decode_bgp_advertisement,
    decode_l2_advertisement,
    decode_peer,
)
from allocator.observed import Observed
from allocator.release.speakers import listed_speaker
from allocator.status.slices import decode_slice
from cli.details import Report, RoutesReport, decode_report, decode_routes
from cli.facts import Facts
from cli.failure import Failed
from cli.options import kubeconfig_of
from cli.seen import Gap, Seen
from cli.workloads import workloads
from crds.bgpadvertisement import BGPAdvertisementSpec
from crds.l2advertisement import L2AdvertisementSpec
from crds.names import allocation_name
from crds.types import BGPAdvertisement, IPPool, L2Advertisement
from kube.config.io.credentials import CredentialsError
from kube.errors import ApiError, Forbidden, Gone, NotFound, Unreachable
from kube.framing import decode_identity
from kube.informer.store import ObjectKey
from kube.io.client import Client
from kube.objects import (
    KubeObject,
    ServiceKey,
    decode_endpoint_slice,
    decode_lease,
    decode_namespace,
    decode_node,
    decode_service,
    decode_service_cidr,
)
from kube.resource import (
    BGPADVERTISEMENTS,
    BGPPEERS,
    ENDPOINTSLICES,
    IPALLOCATIONS,
    IPPOOLS,
    L2ADVERTISEMENTS,
    LEASES,
    NAMESPACES,
    NODES,
    SERVICECIDRS,
    SERVICES,
    SPEAKERREPORTS,
    SPEAKERS,
    Resource,
)
from speaker.cluster.objects import (
    allocation_from,
    as_its_speaker_sees,
    node_from,
    pool_from,
    slice_from,
    speaker_from,
)

T = TypeVar("T")
LONGEST_SECONDS = 60.0
"""For all that is read."""
MOST_CONNECTIONS = 8
"""Each costs a TLS handshake, which takes as long as to read some hundred objects."""
ATTEMPTS = 3
"""Of a list that outlives its own snapshot."""
OPTIONAL = frozenset({SERVICECIDRS})
"""Kinds that an API server need not know."""
MOST_IN_FULL = 16
"""Addresses of one Service, and Services at one address, that are read in full."""


def with_client(options: argparse.Namespace, work: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
    """Run this with a connection to the cluster that the flags name. Raises Failed for all that goes wrong there."""
    gc.freeze()
    try:
        return asyncio.run(_connected(options, work))
    except CredentialsError as error:
        raise Failed(f"the kubeconfig can't be used: {error}") from error
    except Unreachable as error:
        raise Failed(f"the API server does not answer ({error}): is the kubeconfig the right one?") from error
    except ApiError as error:
        raise Failed(str(error)) from error
    except TimeoutError as error:
        raise Failed(f"the API server took longer than {LONGEST_SECONDS:.0f} s") from error


async def _connected(options: argparse.Namespace, work: Callable[[Client], Awaitable[T]]) -> T:
    path = kubeconfig_of(options)
    async with await Client.connect(
        path,
        user_agent="berth-cli",
        max_connections=MOST_CONNECTIONS,
        context=options.context,
        acts_as=options.acts_as,
    ) as client:
        return await work(client)


Objects = dict[ObjectKey, Any]


@dataclass
class Reader:
    """Reads lists, and remembers what it could not read."""

    client: Client
    gaps: list[Gap] = field(default_factory=list)

    async def all(self, res: Resource, *decoders: Callable[[bytes], Any], **where: Any) -> tuple[Objects, ...]:
        """The objects by name, one mapping for each decoder; empty ones where they can't be read."""
        for _ in range(ATTEMPTS):
            try:
                return await self._pages(res, decoders, where)
            except Gone:
                continue
            except Forbidden as error:
                self.gaps.append(Gap(res.full_name, f"you may not list them: {error}"))
                return tuple({} for _ in decoders)
            except NotFound:
                if res not in OPTIONAL:
                    why = "the API server knows no such kind: install Berth's definitions (crds.enabled in the chart)"
                    self.gaps.append(Gap(res.full_name, why, is_unknown=True))
                return tuple({} for _ in decoders)
        self.gaps.append(Gap(res.full_name, "the list changes faster than it can be read"))
        return tuple({} for _ in decoders)

    async def _pages(
        self, res: Resource, decoders: Iterable[Callable[[bytes], Any]], where: dict[str, Any]
    ) -> tuple[Objects, ...]:
        found: tuple[Objects, ...] = tuple({} for _ in decoders)
        token = ""
        while True:
            page = await self.client.list_page(res, continue_token=token, **where)
            for raw in page.items:
                for into, decode in zip(found, decoders, strict=True):
                    _put(into, raw, decode)
            token = page.continue_token
            if not token:
                return found


def _put(into: Objects, raw: bytes, decode: Callable[[bytes], Any]) -> None:
    try:
        one = decode(raw)
        into[_key_of(one, raw)] = one
    except ValueError:
        return


def _key_of(one: Any, raw: bytes) -> ObjectKey:
    """From the value where that has it: to look for it in the bytes costs as much as to decode them. Raises
    ValueError."""
    if isinstance(one, KubeObject):
        return ObjectKey(one.metadata.namespace, one.metadata.name)
    if isinstance(one, StoredAllocation):
        return ObjectKey(None, allocation_name(one.address))
    identity = decode_identity(raw)
    return ObjectKey(identity.namespace, identity.name)


async def read_cluster(client: Client, namespace: str, *, with_routes: bool = False) -> Seen:
    """All that Berth's functions judge by. `namespace`: Berth's; `with_routes`: and what reports say of routes. Raises
    ApiError, TimeoutError."""
    reader = Reader(client)
    async with asyncio.timeout(LONGEST_SECONDS):
        return await _everything(reader, namespace, (decode_routes,) if with_routes else ())


async def _everything(reader: Reader, namespace: str, of_reports: Sequence[Callable[[bytes], RoutesReport]]) -> Seen:
    """`of_reports`: for each report also this."""
    api = {"namespace": "default", "label_selector": "kubernetes.io/service-name=kubernetes"}
    lists = {
        "services": reader.all(SERVICES, decode_service),
        "namespaces": reader.all(NAMESPACES, decode_namespace),
        "pools": reader.all(IPPOOLS, IPPool.decode, pool_from),
        "allocations": reader.all(IPALLOCATIONS, decode_allocation),
        "speakers": reader.all(SPEAKERS, listed_speaker, speaker_from),
        "nodes": reader.all(NODES, decode_node, node_from),
        "api_endpoints": reader.all(ENDPOINTSLICES, decode_endpoint_slice, **api),
        "service_cidrs": reader.all(SERVICECIDRS, decode_service_cidr),
        "l2_advertisements": reader.all(L2ADVERTISEMENTS, decode_l2_advertisement, _l2_spec),
        "bgp_advertisements": reader.all(BGPADVERTISEMENTS, decode_bgp_advertisement, _bgp_spec),
        "peers": reader.all(BGPPEERS, decode_peer),
        "slices": reader.all(SPEAKERREPORTS, decode_slice, decode_report, *of_reports),
    }
    *found, leases = await _gather(*lists.values(), reader.all(LEASES, decode_lease, namespace=namespace))
    by_name: dict[str, tuple[Objects, ...]] = dict(zip(lists, found, strict=True))
    reports: dict[str, Report] = _plain(by_name["slices"][1])
    facts = {name: _plain(by_name[name][1]) for name in by_name if len(by_name[name]) > 1 and name != "slices"}
    speakers = facts["speakers"]
    facts["nodes"] = {name: as_its_speaker_sees(one, speakers.get(name)) for name, one in facts["nodes"].items()}
    others = not by_name["speakers"][0] and await _is_announced_by_others(reader.client, namespace)
    knows_leases = all(gap.resource != LEASES.full_name for gap in reader.gaps)
    return Seen(
        Observed(**{name: parts[0] for name, parts in by_name.items()}),
        _plain(leases[0]) if knows_leases else None,
        reports,
        datetime.now(UTC),
        Facts(**facts),
        tuple(reader.gaps),
        is_announced_by_others=others,
        routes=_plain(by_name["slices"][2]) if of_reports else {},
    )


async def _is_announced_by_others(client: Client, namespace: str) -> bool:
    """The chart's Deployment is there, and its DaemonSet is not. False where that can't be read."""
    try:
        return set(await workloads(client, namespace)) == {"allocator"}
    except (ApiError, ValueError):
        return False


def _plain(objects: Objects) -> dict[str, Any]:
    return {key.name: one for key, one in objects.items()}


def _l2_spec(raw: bytes) -> L2AdvertisementSpec:
    return L2Advertisement.decode(raw).spec


def _bgp_spec(raw: bytes) -> BGPAdvertisementSpec:
    return BGPAdvertisement.decode(raw).spec


async def read_in_full(client: Client, seen: Seen, addresses: Sequence[str], services: Sequence[ServiceKey]) -> Seen:
    """The same with these addresses, and the endpoints of these Services and of all that hold the addresses."""
    reader, allocations = Reader(client), {}
    async with asyncio.timeout(LONGEST_SECONDS):
        for address in addresses[:MOST_IN_FULL]:
            name = allocation_name(address)
            try:
                allocations[name] = allocation_from(await client.get(IPALLOCATIONS, name))
            except (ApiError, ValueError):
                continue
        holders = [holder.service for one in allocations.values() for holder in one.holders]
        wanted = list(dict.fromkeys([*services, *holders]))[:MOST_IN_FULL]
        found = await _gather(*(_endpoints(reader, key) for key in wanted))
    slices: dict[str, Any] = {}
    endpoints: Mapping[ServiceKey, Any] = {}
    for key, (plain, facts) in zip(wanted, found, strict=True):
        endpoints = {**endpoints, key: tuple(plain.values())}
        slices |= {str(name): one for name, one in facts.items()}
    full = replace(seen.facts, allocations=allocations, slices=slices)
    return replace(seen, facts=full, endpoints=endpoints, gaps=(*seen.gaps, *reader.gaps))


async def _endpoints(reader: Reader, key: ServiceKey) -> tuple[Objects, ...]:
    selector = f"kubernetes.io/service-name={key.name}"
    return await reader.all(
        ENDPOINTSLICES, decode_endpoint_slice, slice_from, namespace=key.namespace, label_selector=selector
    )


async def _gather(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return [task.result() for task in tasks]
