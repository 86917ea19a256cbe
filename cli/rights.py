"""Which rights Berth's programs have: asked of the API server, which stores nothing of the question.

The rights are those of the chart; a test keeps the two the same.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kube.errors import ApiError
from kube.io.client import Client
from kube.resource import Resource

REVIEWS = Resource("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", False)
CONCURRENCY = 16


class Right(NamedTuple):
    """`resource` with its subresource, as services/status; `is_namespaced`: in Berth's namespace alone."""

    verb: str
    resource: str
    group: str = ""
    is_namespaced: bool = False

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


def _each(verbs: str, resources: str, group: str = "", *, is_namespaced: bool = False) -> list[Right]:
    return [Right(verb, one, group, is_namespaced) for one in resources.split() for verb in verbs.split()]


BERTH = "berth.dev"
ALLOCATOR = [
    *_each("get list watch", "services nodes"),
    *_each("patch", "services/status"),
    *_each("list watch", "namespaces"),
    *_each("list watch", "endpointslices", "discovery.k8s.io"),
    *_each("list watch", "servicecidrs", "networking.k8s.io"),
    *_each(
        "list watch",
        "ippools l2advertisements bgpadvertisements bgppeers bfdprofiles communities",
        BERTH,
    ),
    *_each(
        "list watch",
        "speakers releaseconfirmations speakerreports",
        BERTH,
    ),
    *_each("list watch create delete", "departedspeakers", BERTH),
    *_each(
        "patch",
        "ippools/status l2advertisements/status bgpadvertisements/status bgppeers/status speakers/status "
        "bfdprofiles/status communities/status",
        BERTH,
    ),
    *_each("get list watch create patch delete", "ipallocations", BERTH),
    *_each("patch", "ipallocations/status", BERTH),
    *_each("create patch", "events"),
    *_each("list create", "leases", "coordination.k8s.io", is_namespaced=True),
]
SPEAKER = [
    *_each(
        "list watch",
        "ipallocations ippools l2advertisements bgpadvertisements bgppeers bfdprofiles communities",
        BERTH,
    ),
    *_each("list watch", "endpointslices", "discovery.k8s.io"),
    *_each("get list watch", "nodes"),
    *_each("get list watch create", "speakers", BERTH),
    *_each("get create", "releaseconfirmations speakerreports", BERTH),
    *_each("delete", "speakerreports", BERTH),
    *_each("patch", "speakers/status releaseconfirmations/status speakerreports/status", BERTH),
    *_each("get list watch create patch", "leases", "coordination.k8s.io", is_namespaced=True),
]
PROGRAMS = {"berth-allocator": ALLOCATOR, "berth-speaker": SPEAKER}
"""By service account."""

WITH_SECURE_METRICS = [
    *_each("create", "tokenreviews", "authentication.k8s.io"),
    *_each("create", "subjectaccessreviews", "authorization.k8s.io"),
]
"""What a program needs besides, where the chart's value metrics.secure is on."""


async def refused(
    client: Client, namespace: str, programs: Mapping[str, Sequence[Right]]
) -> dict[str, list[str]] | None:
    """What each of the programs may not do, in words; None where the API server does not tell us. `namespace`:
    Berth's. `programs`: by service account, what each needs."""
    turn = asyncio.Semaphore(CONCURRENCY)

    async def may(account: str, right: Right) -> bool:
        resource, _, subresource = right.resource.partition("/")
        attributes = {"verb": right.verb, "group": right.group, "resource": resource, "subresource": subresource}
        if right.is_namespaced:
            attributes["namespace"] = namespace
        spec = {
            "user": f"system:serviceaccount:{namespace}:{account}",
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"],
            "resourceAttributes": attributes,
        }
        async with turn:
            answer = json.loads(await client.create(REVIEWS, {"spec": spec}))
        return bool(answer.get("status", {}).get("allowed"))

    asked = [(account, right) for account, rights in programs.items() for right in rights]
    try:
        answers = await asyncio.gather(*(may(*one) for one in asked))
    except (ApiError, ValueError):
        return None
    found: dict[str, list[str]] = {account: [] for account in programs}
    for (account, right), is_allowed in zip(asked, answers, strict=True):
        if not is_allowed:
            found[account].append(str(right))
    return found
