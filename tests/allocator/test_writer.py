"""What the writer sends, and what it concludes from an answer that it did not get."""

import asyncio
from typing import Any

import pytest

from allocator.io.metrics import AllocatorMetrics
from allocator.io.writer import Writer
from allocator.stage import Stage
from kube.errors import Invalid, Unreachable
from tests.allocator.build import service_body
from tests.allocator.fakeapi import EDGE, FIRST, WEB, Allocator, FakeApi, settled

pytestmark = pytest.mark.asyncio


class Recording:
    """Takes no write but deletes. `answer`: what becomes of the others."""

    manager = "berth-allocator"

    def __init__(self, answer: Exception) -> None:
        self.deleted: list[dict[str, Any]] = []
        self._answer = answer

    async def delete(self, _: object, name: str, **preconditions: Any) -> None:
        self.deleted.append({"name": name, **preconditions})

    async def create(self, *_: object) -> bytes:
        raise self._answer

    async def merge_patch(self, *_: object, **__: object) -> bytes:
        raise self._answer


async def written(allocator: Allocator, client: Any) -> None:
    writer = Writer(
        client, allocator.assigner, AllocatorMetrics(), concurrency=1, may_write=lambda: True, notify=lambda _: None
    )
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(writer.run(), 0.2)


async def test_a_record_is_deleted_as_the_one_that_was_judged(api: FakeApi) -> None:
    allocator = settled(api, "web")
    api.delete_service(WEB)
    allocator.run(withdraw=False)
    allocator.pass_barrier(FIRST)
    record = api.allocations["v4-192-0-2-10"]["metadata"]
    client = Recording(Unreachable(0, "Timeout", "no answer"))
    await written(allocator, client)
    assert client.deleted == [
        {"name": "v4-192-0-2-10", "uid": record["uid"], "resource_version": record["resourceVersion"]}
    ]


@pytest.mark.parametrize(
    ("answer", "stage"),
    [(Unreachable(0, "Timeout", "no answer"), Stage.CREATED), (Invalid(422, "Invalid", "no"), Stage.RESERVED)],
)
async def test_a_create_without_an_answer_may_have_made_a_record(api: FakeApi, answer: Exception, stage: Stage) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.watch()
    client = Recording(answer)
    writer = Writer(
        client,  # type: ignore[arg-type]
        allocator.assigner,
        AllocatorMetrics(),
        concurrency=1,
        may_write=lambda: True,
        notify=lambda _: None,
    )
    write = None
    for key in (WEB, FIRST):
        write = allocator.assigner.step(key, 0.0, "2026-01-01T00:00:00Z") or write
    assert write is not None
    with pytest.raises(type(answer)):
        await writer._send(write)
    entry = allocator.assigner.ledger.get(FIRST)
    assert entry is not None
    assert entry.stage is stage
