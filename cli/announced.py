"""What single nodes report that they announce, read again and again while a command waits: few objects a look."""

import asyncio
from collections.abc import Iterable, Mapping

from allocator.release.speakers import listed_speaker
from allocator.status.entries import Announcement
from allocator.status.reports import Reports
from allocator.status.slices import Slice, decode_slice
from cli.seen import Seen
from crds.speakerreport import report_name
from kube.errors import NotFound
from kube.io.client import Client
from kube.resource import SPEAKERREPORTS, SPEAKERS

AT_A_TIME = 16


def slices_of(seen: Seen, node: str) -> int:
    """How many slices a node's report has: one more than the highest number."""
    names = (key.name for key, one in seen.observed.slices.items() if one.node == node)
    numbers = (int(number) for name in names if (number := name.rpartition(".")[2]).isdecimal())
    return max(numbers, default=-1) + 1


async def announced_by(client: Client, node: str, slices: int = 1) -> Mapping[str, Announcement]:
    """What its speaker says that it announces, by address; of a speaker that has said goodbye, or that there is none
    of, nothing. `slices`: how many there were at least. Raises ApiError, ValueError."""
    try:
        speaker = listed_speaker(await client.get(SPEAKERS, node))
    except NotFound:
        return {}
    reports, number = Reports(), 0
    reports.speaker_seen(node, speaker)
    while True:
        found = await _read(client, node, range(number, number + AT_A_TIME))
        for name, one in found.items():
            reports.slice_seen(name, None, one)
        number += AT_A_TIME
        if number >= slices and len(found) < AT_A_TIME:
            break
    addresses = reports.announcers.addresses_of(node)
    return {address: reports.announcers.of(address)[node] for address in addresses}


async def _read(client: Client, node: str, numbers: Iterable[int]) -> dict[str, Slice]:
    async def one(name: str) -> tuple[str, Slice | None]:
        try:
            return name, decode_slice(await client.get(SPEAKERREPORTS, name))
        except NotFound:
            return name, None

    found = await asyncio.gather(*(one(report_name(node, number)) for number in numbers))
    return {name: read for name, read in found if read is not None}
