"""Carries a takeover out: reads where it stands, does the next step, waits for what must be seen, and reads again.

Level-based: whoever starts it again goes on where it stands. It stops at the first step that does not come about.
"""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cli.failure import Failed
from cli.migrate.frr import FRR_CONFIGURATIONS, PREFIX, is_of_metallb
from cli.migrate.read import KINDS, read_converted
from cli.migrate.services import judge, with_pools
from cli.migrate.situation import Situation, Workloads, labels_of
from cli.migrate.steps import Act, Step
from cli.migrate.takeover import DAEMON_SETS, DEPLOYMENTS, RESOURCES
from cli.migrate.told import PASSWORD_KEY, PASSWORDS, Body, Converted, Password
from cli.reading import read_cluster
from cli.seen import World
from kube.errors import AlreadyExists, NotFound
from kube.io.client import Client
from kube.resource import NODES, SECRETS, Resource

PODS = Resource("", "v1", "pods", "Pod", True)
POLL_SECONDS = 0.5
QUICK_SECONDS = 0.1
"""While a node has MetalLB's speaker no more and our session not yet."""
BGP_PEERS = KINDS[4]
FRR_SECONDS = 5.0
"""What frr-k8s takes to end a session that is configured no more: ours would be refused before, and come late."""


@dataclass(frozen=True)
class Takeover:
    """`namespace`: MetalLB's. `class_name`: as for `judge`. `longest_seconds`: for one step."""

    client: Client
    namespace: str
    berth_namespace: str
    class_name: str | None
    longest_seconds: float

    async def read(self, before: Situation | None = None) -> Situation:
        """All of it. `before`: what was converted and judged then still counts. Raises Failed, ApiError."""
        converted = before.converted if before else await read_converted(self.client, self.namespace)
        seen = await read_cluster(self.client, self.berth_namespace)
        judged = (
            before.judged if before else tuple(judge(with_pools(seen, converted.made, is_paused=True), self.class_name))
        )
        ours = {(kind, _name(one)): one for kind, res in RESOURCES.items() for one in await self._all(res)}
        passwords = await self._passwords() if converted.passwords else frozenset()
        berth = await self._workloads(self.berth_namespace)
        return await self.quickly(Situation(converted, World(seen), judged, Workloads(), berth, ours, passwords))

    async def quickly(self, now: Situation) -> Situation:
        """What changes while a node changes hands."""
        metallb, nodes = await self._workloads(self.namespace), await self._all(NODES)
        configurations: dict[str, tuple[str, ...]] = {}
        for one in await self._all(FRR_CONFIGURATIONS):
            if is_of_metallb(_name(one)):
                node = _name(one).removeprefix(PREFIX)
                configurations[node] = (*configurations.get(node, ()), one["metadata"]["namespace"])
        labels = {_name(one): labels_of(one) for one in nodes}
        return replace(now, metallb=metallb, nodes=labels, configurations=configurations, at=datetime.now(UTC))

    async def _workloads(self, namespace: str) -> Workloads:
        deployments, sets, pods = [await self._all(res, namespace) for res in (DEPLOYMENTS, DAEMON_SETS, PODS)]
        return Workloads(tuple(deployments), tuple(sets), tuple(pods))

    async def _all(self, res: Resource, namespace: str | None = None) -> list[Body]:
        """None of a kind that the API server does not know."""
        try:
            raws, _ = await self.client.list(res, namespace=namespace)
        except NotFound:
            return []
        return [json.loads(raw) for raw in raws]

    # Doing it

    async def go(self, steps: Callable[[Situation], Sequence[Step]], tell: Callable[[str], None]) -> None:
        """Until all steps are done. Raises Failed where one does not come about."""
        now, title, began = await self.read(), "", time.monotonic()
        while (step := next((one for one in steps(now) if not one.is_done), None)) is not None:
            if step.title != title:
                title, began = step.title, time.monotonic()
                tell(f"to do: {title}")
            if step.waits and step.is_hopeless:
                raise Failed(f"it can't go on. {step.title}? No: {step.waits}")
            for act in step.acts:
                tell(f"  {act.command[:200]}")
                await self._do(act, now.converted)
            if not step.acts and time.monotonic() - began > self.longest_seconds:
                raise Failed(f"after {self.longest_seconds:.0f} s it is not so that {step.title}: {step.waits}")
            is_quick = bool(step.node) and step.waits.startswith("MetalLB")
            await asyncio.sleep(QUICK_SECONDS if is_quick or step.acts else POLL_SECONDS)
            now = await (self.quickly(now) if is_quick else self.read(now))

    async def _do(self, act: Act, converted: Converted) -> None:
        match act.verb:
            case "create":
                with suppress(AlreadyExists):
                    await self.client.create(act.resource, act.body or {}, namespace=act.namespace)
            case "patch":
                subresource = "status" if act.is_status else None
                await self.client.merge_patch(
                    act.resource, act.name, act.body or {}, namespace=act.namespace, subresource=subresource
                )
            case "delete":
                with suppress(NotFound):
                    await self.client.delete(act.resource, act.name, namespace=act.namespace)
                await asyncio.sleep(FRR_SECONDS if act.resource == FRR_CONFIGURATIONS else 0.0)
            case "copy" if act.password is not None:
                await self._copy(act.password)

    async def _passwords(self) -> frozenset[str]:
        """Whose passwords are there."""
        try:
            body = json.loads(await self.client.get(SECRETS, PASSWORDS, self.berth_namespace))
        except NotFound:
            return frozenset()
        return frozenset(body.get("data") or {})

    async def _copy(self, password: Password) -> None:
        """Into the Secret of Berth's namespace; it is printed nowhere."""
        with suppress(AlreadyExists):
            empty = {"metadata": {"name": PASSWORDS}, "type": "Opaque"}
            await self.client.create(SECRETS, empty, namespace=self.berth_namespace)
        data = {"data": {password.peer: await self._encoded(password)}}
        await self.client.merge_patch(SECRETS, PASSWORDS, data, namespace=self.berth_namespace)

    async def _encoded(self, password: Password) -> str:
        """In base64."""
        if password.secret is not None:
            namespace, name = password.secret
            body = json.loads(await self.client.get(SECRETS, name, namespace))
            found = (body.get("data") or {}).get(PASSWORD_KEY)
            if not found:
                raise Failed(f"Secret {namespace}/{name} has no key {PASSWORD_KEY}")
            return str(found)
        for res in BGP_PEERS:
            with suppress(NotFound):
                body = json.loads(await self.client.get(res, password.peer, self.namespace))
                return base64.b64encode(str(body["spec"].get("password", "")).encode()).decode()
        raise Failed(f"BGPPeer {password.peer} of MetalLB's is gone: its password can't be copied")


def _name(body: Body) -> str:
    return str(body["metadata"]["name"])


def told(steps: Sequence[Step]) -> list[str]:
    """The whole way, with where it stands and what each step takes."""
    lines, is_next = [], True
    for number, step in enumerate(steps, 1):
        mark = "done" if step.is_done else "next" if is_next else "then"
        is_next = is_next and step.is_done
        waits = f" (waits: {step.waits})" if step.waits and mark == "next" else ""
        lines.append(f"{number:>2}. [{mark}] {step.title}{waits}")
        lines += [f"      {act.command}" for act in step.acts]
    return lines
