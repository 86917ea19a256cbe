"""Reads what the release barrier is judged on, and hands the verdicts on. allocator.release.barrier judges.

One quorum list of the Speakers, started after the marks were known, serves all releases that are pending. It is made as
soon as there is a mark that no list came after, while the speakers withdraw: what they confirm later is judged on it at
once, as the watch brings it. Another one is made where by all that is watched a release looks passed, and by that list
is not: another process has registered since. And now and then, because fences pass by time. Leases are read before the
Speakers and after them, by the same task, so that a promise in the list was in force while they were silent; and slowly
while nobody waits: a watch would bring each renewal of each node, and F is long.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

import structlog

from allocator.assigner import Assigner
from allocator.notices import Notice, of_entry
from allocator.observed import Observed
from allocator.options import Options
from allocator.release.barrier import Awaited, LeaseBook, Mark, Renewed, Round, awaited, describe, has_passed
from allocator.release.confirmations import Confirmation
from allocator.release.departures import Departures
from allocator.release.speakers import SpeakerState, listed_speaker
from allocator.status.speaker import SILENT_SECONDS
from crds.addresses import IPAddress
from crds.conditions import Reason
from crds.names import TAINT_OUT_OF_SERVICE, node_of_speaker_lease
from kube.errors import ApiError, NotFound
from kube.informer.io.informer import ObjectKey
from kube.io.client import Client
from kube.objects import decode_lease, decode_node
from kube.resource import LEASES, NODES, SPEAKERS

log = structlog.get_logger()

ROUND_SECONDS = 0.02
"""At least so long between two lists: marks come in bursts."""

REPEAT_SECONDS = 1.0
"""A round after so long though nothing seems to have passed, while a release is pending."""

RESPITE = 10.0
"""After a round that took a second the next one waits ten, however large the list of Speakers is; unless a
release looks as if it had passed."""

SLOW_RELEASE_SECONDS = 2.0
"""A release that takes longer than this is worth a condition and an Event."""

POLL_SECONDS = 2.0
"""How often Leases are read while a release is pending, ..."""

IDLE_POLL_SECONDS = 10.0
"""... and while none is."""


class BarrierLoop:
    """Runs while this process leads. `departures` is kept up to date elsewhere, also before that.

    `notify` receives the notices that are due; `on_progress` is called when a release may have passed,
    `on_passed` with the seconds that one took.
    """

    def __init__(
        self,
        client: Client,
        assigner: Assigner,
        observed: Observed,
        departures: Departures,
        options: Options,
        *,
        notify: Callable[[Notice], None],
        on_progress: Callable[[], None],
        on_passed: Callable[[float], None],
    ) -> None:
        self._client = client
        self._assigner = assigner
        self._namespace = options.namespace
        self._speakers = observed.speakers
        self._confirmations = observed.confirmations
        self._nodes = observed.nodes
        self._departures = departures
        self._fence_after_seconds = options.fence_after_seconds
        self._notify = notify
        self._on_progress = on_progress
        self._on_passed = on_passed
        self._leases = LeaseBook()
        self._polled = float("-inf")
        self._gone_nodes: dict[str, float] = {}
        self._out_of_service: dict[str, float] = {}
        self._noticed: set[tuple[IPAddress, str]] = set()
        self._has_more = asyncio.Event()
        self._is_to_judge = asyncio.Event()
        self._listed: Round | None = None
        """By the last list. No Node counts as gone in it, or as out of service: that is true of one moment. The
        confirmations in it are always those of now."""
        self.awaited: dict[IPAddress, tuple[Awaited, ...]] = {}
        """The nodes that are waited for, of releases that take long."""

    def is_silent(self, node: str) -> bool:
        """For people only: whether its speaker has not been heard of for a while."""
        return self._leases.silent_seconds(node) > SILENT_SECONDS

    def nudge(self) -> None:
        """A Speaker or a ReleaseConfirmation changed, or a release was marked."""
        self._is_to_judge.set()  # first: what passes then needs no list
        self._has_more.set()

    async def run(self) -> None:
        """Until cancelled. API trouble is waited out: nothing passes while it lasts."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            while True:
                await self._is_to_judge.wait()
                self._is_to_judge.clear()
                self._judge_what_is_known()

    async def _read(self) -> None:
        repeat_at = 0.0
        while True:
            await self._wait()
            marks = self._assigner.marks
            if not marks:  # nobody looks at Nodes now, so what was seen of them does not go on
                self._gone_nodes, self._out_of_service, self._listed = {}, {}, None
            await self._poll_leases()
            if not marks or (time.monotonic() < repeat_at and not self._is_worth_a_list(marks.values())):
                continue
            began = time.monotonic()
            try:
                await self._list()
            except ApiError as error:
                log.warning("release barrier: cannot read the Speakers", error=str(error))
            took = time.monotonic() - began
            repeat_at = time.monotonic() + max(REPEAT_SECONDS, RESPITE * took)
            await asyncio.sleep(max(ROUND_SECONDS, took))

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REPEAT_SECONDS):
                await self._has_more.wait()
        self._has_more.clear()

    def _is_worth_a_list(self, marks: Iterable[Mark]) -> bool:
        """Whether no list came after one of them, or one looks passed."""
        listed = float("-inf") if self._listed is None else self._listed.sent
        now = time.monotonic()
        round_ = self._round_of(tuple(self._speakers.values()), now, now)
        return any(mark.known_at > listed or has_passed(mark, round_) for mark in marks)

    def _round_of(self, speakers: tuple[SpeakerState, ...], sent: float, received: float) -> Round:
        return Round(
            speakers,
            sent,
            received,
            self._gone_nodes,
            self._leases,
            self._fence_after_seconds,
            self._departures.at(sent, speakers),
            _ByNode(self._confirmations),
            self._out_of_service,
        )

    async def _list(self) -> None:
        sent = time.monotonic()
        raws, _ = await self._client.list(SPEAKERS)
        received = time.monotonic()
        speakers = tuple(listed_speaker(raw) for raw in raws)
        self._look_for_departed(speakers)
        await self._look_for_nodes(speakers)
        round_ = self._round_of(speakers, sent, received)
        self._listed = replace(round_, gone_nodes={}, out_of_service={})
        self._judge(round_)
        for mark in self._assigner.marks.values():
            if sent - mark.known_at >= SLOW_RELEASE_SECONDS:
                self._report_slow(mark, awaited(mark, round_))
        for address in self.awaited.keys() - self._assigner.marks.keys():
            del self.awaited[address]
        self._on_progress()

    def _judge_what_is_known(self) -> None:
        """Of confirmations and Leases by now, by the Speakers of the last list."""
        if (listed := self._listed) is not None:
            # One that is forgotten since, as its process has registered anew, is waited for until a list has that.
            known = {one.uid: one for one in (*listed.departed, *self._departures.at(listed.sent, listed.speakers))}
            self._judge(replace(listed, departed=tuple(known.values())))

    def _judge(self, round_: Round) -> None:
        marks = [mark for mark in self._assigner.marks.values() if mark.known_at <= round_.sent]
        passed = [mark for mark in marks if has_passed(mark, round_)]
        for mark in passed:
            self.awaited.pop(mark.address, None)
            self._noticed.discard((mark.address, mark.uid))
            self._assigner.barrier_passed(mark)
            self._on_passed(time.monotonic() - mark.known_at)
        if passed:
            self._on_progress()

    def _report_slow(self, mark: Mark, waiting_for: tuple[Awaited, ...]) -> None:
        self.awaited[mark.address] = waiting_for
        entry = self._assigner.ledger.get(mark.address)
        if entry is None or (mark.address, mark.uid) in self._noticed:
            return
        self._noticed.add((mark.address, mark.uid))
        message = describe(mark.address, waiting_for)
        log.debug("release waits", address=str(mark.address), nodes=[one.node for one in waiting_for])
        for notice in of_entry(entry, Reason.WaitingForSpeakers, message):
            self._notify(notice)

    def _look_for_departed(self, listed: tuple[SpeakerState, ...]) -> None:
        """The watch may not have shown yet that one is gone. Nor that one is new: that is put right when it does."""
        uids = {one.metadata.uid for one in listed}
        for speaker in self._speakers.values():
            if speaker.metadata.uid not in uids:
                self._departures.gone(speaker, time.monotonic())

    async def _look_for_nodes(self, speakers: tuple[SpeakerState, ...]) -> None:
        """A Node that the informer does not know, or shows to be out of service, is asked for in each round: it may
        have come (again) just now, and the taint may be gone."""
        gone: dict[str, float] = {}
        out_of_service: dict[str, float] = {}
        for speaker in speakers:
            node = speaker.node
            known = self._nodes.get(ObjectKey(None, node))
            if known is not None and not known.has_taint(TAINT_OUT_OF_SERVICE):
                continue
            match await self._taints(node):
                case None:
                    gone[node] = self._gone_nodes.get(node, time.monotonic())
                case taints if TAINT_OUT_OF_SERVICE in taints:
                    out_of_service[node] = self._out_of_service.get(node, time.monotonic())
        self._gone_nodes, self._out_of_service = gone, out_of_service

    async def _taints(self, node: str) -> frozenset[str] | None:
        """The keys of a Node's taints; None = there is no such Node. One that does not decode has none."""
        try:
            raw = await self._client.get(NODES, node)
            return frozenset(taint.key for taint in decode_node(raw).spec.taints)
        except NotFound:
            return None
        except ValueError as error:
            log.warning("a Node does not decode", node=node, error=str(error))
            return frozenset()

    async def _poll_leases(self) -> None:
        sent = time.monotonic()
        if sent - self._polled < self._poll_seconds():
            return
        try:
            raws, _ = await self._client.list(LEASES, namespace=self._namespace)
        except ApiError as error:
            log.debug("cannot read the speakers' Leases", error=str(error))
            return
        self._leases.observe(dict(_renewals(raws)), sent, time.monotonic())
        self._polled = sent
        self._judge_what_is_known()  # by the last list

    def _poll_seconds(self) -> float:
        if not self._assigner.marks:
            return min(IDLE_POLL_SECONDS, self._fence_after_seconds / 4)
        return min(POLL_SECONDS, self._fence_after_seconds / 10)


class _ByNode(Mapping[str, Confirmation]):
    """The ReleaseConfirmations as they are at each moment, by node. No copy: they are looked at with each change."""

    def __init__(self, confirmations: Mapping[ObjectKey, Confirmation]) -> None:
        self._confirmations = confirmations

    def __getitem__(self, node: str) -> Confirmation:
        return self._confirmations[ObjectKey(None, node)]

    def __iter__(self) -> Iterator[str]:
        return (key.name for key in self._confirmations)

    def __len__(self) -> int:
        return len(self._confirmations)


def _renewals(raws: Iterable[bytes]) -> Iterator[tuple[str, Renewed]]:
    """By node. A Lease is a speaker's by its name; a label put on by hand is no sign of life, nor does one that is
    taken off end any. One that makes no sense counts as not there."""
    for raw in raws:
        try:
            lease = decode_lease(raw)
        except ValueError as error:
            log.warning("a Lease does not decode", error=str(error))
            continue
        node = node_of_speaker_lease(lease.metadata.name)
        if node is not None:
            said, duration = lease.spec, lease.spec.lease_duration_seconds or 0
            yield node, Renewed(lease.metadata.uid, f"{said.holder_identity} {said.renew_time}", duration)
