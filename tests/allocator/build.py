"""Objects for tests, as short as a test wants to say them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from allocator.claims import Claim, Holder, Port
from allocator.ledger import Ledger
from allocator.plan import Plan, plan
from allocator.request import Request, request_of
from allocator.space.pools import Pools, compile_pools
from allocator.space.ranges import parse_address
from crds.addresses import IPAddress
from crds.types import IPPool
from kube.objects import Service, ServiceKey, decode_service


def address(text: str) -> IPAddress:
    parsed = parse_address(text)
    assert parsed is not None, text
    return parsed


def pool(name: str, *addresses: str, created: str = "2026-01-01T00:00:00Z", **spec: Any) -> IPPool:
    """`spec` in snake_case."""
    body = {
        "metadata": {"name": name, "creationTimestamp": created, "generation": 1, "labels": spec.pop("labels", {})},
        "spec": {"addresses": list(addresses), **{_camel(key): value for key, value in spec.items()}},
    }
    return IPPool.decode(json.dumps(body))


def pools(*objects: IPPool) -> Pools:
    return compile_pools(objects)


def _camel(name: str) -> str:
    if name.endswith("_ips"):
        return _camel(name.removesuffix("_ips")) + "IPs"
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def service_body(
    name: str = "web",
    *,
    namespace: str = "default",
    uid: str | None = None,
    families: Sequence[str] = ("IPv4",),
    policy: str = "SingleStack",
    ports: Sequence[tuple[str, int]] = (("TCP", 80),),
    annotations: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    ingress: Sequence[str] = (),
    created: str = "2026-01-02T00:00:00Z",
    **spec: Any,
) -> dict[str, Any]:
    """A Service as an API server would show it; `spec` in camelCase."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"uid-{namespace}-{name}",
            "resourceVersion": "1",
            "creationTimestamp": created,
            "annotations": dict(annotations or {}),
            "labels": dict(labels or {}),
        },
        "spec": {
            "type": "LoadBalancer",
            "ipFamilies": list(families),
            "ipFamilyPolicy": policy,
            "ports": [{"protocol": protocol, "port": number} for protocol, number in ports],
            "selector": {"app": name},
            "externalTrafficPolicy": "Cluster",
            **spec,
        },
        "status": {"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"} for ip in ingress]} if ingress else {}},
    }


def service(name: str = "web", **kwargs: Any) -> Service:
    return decode_service(json.dumps(service_body(name, **kwargs)).encode())


def request(name: str = "web", **kwargs: Any) -> Request:
    parsed = request_of(service(name, **kwargs))
    assert isinstance(parsed, Request), parsed
    return parsed


def ledger(*objects: IPPool) -> Ledger:
    book = Ledger()
    book.set_pools(compile_pools(objects))
    return book


def lowest(_: int) -> int:
    """A draw without luck."""
    return 0


def nothing_known(_: Holder) -> None:
    """Of what other holders ask for now."""


def decide(
    book: Ledger, wish: Request, namespace_labels: Mapping[str, str] | None = None, *, others: Iterable[Request] = ()
) -> Plan:
    """Plan, and enter the plan in the ledger as allocator.assigner does. `others`: as they are now."""
    wishes = {one.holder.uid: one for one in others}
    decision = plan(wish, namespace_labels or {}, book, lowest, lambda holder: wishes.get(holder.uid))
    for grant in decision.grants:
        entry = book.get(grant.address)
        if entry is None:
            book.reserve(grant)
        else:
            book.revise(entry, grant)
    return decision


def granted(decision: Plan) -> list[str]:
    return [str(grant.address) for grant in decision.grants]


def claim(name: str = "web", pool: str = "edge", of: str = "192.0.2.10", **kwargs: Any) -> Claim:
    holder = Holder(ServiceKey("default", name), f"uid-default-{name}", (Port("TCP", 80),))
    return Claim(address(of), pool, (holder,), **kwargs)
