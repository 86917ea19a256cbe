"""The three writers of what a speaker says of itself, together: in which order they ask, and whose an outcome is. Pure.

    next_requests --> Look, Write, Delete --carried out--> Found, Wrote, Deleted, Failed --> take

A request is known by itself and not by the object that it is about: the writer of confirmations looks at the Speaker,
too.
"""

from speaker.fencing import Promise
from speaker.moment import earliest
from speaker.own.confirming import ConfirmationWriter
from speaker.own.reporting import ReportWriter
from speaker.own.requests import Deleted, Failed, Found, Outcome, Request, Wrote
from speaker.own.status import StatusDraft
from speaker.own.writer import SpeakerWriter


class OwnWriters:
    """`speaker`, `confirmation`, `report`: each has one request under way at a time. `now`: monotonic seconds."""

    def __init__(self, incarnation: str, draft: StatusDraft, promise: Promise) -> None:
        self.speaker = SpeakerWriter(incarnation, draft.speaker, promise, draft.refusals)
        self.confirmation = ConfirmationWriter(incarnation, draft.released, draft.refusals)
        self.report = ReportWriter(incarnation, draft.report, draft.refusals)

    def begin(self, owner: str) -> None:
        """This process has registered: confirmations and reports count. `owner`: the uid of the own Node."""
        self.confirmation.begin(owner)
        self.report.begin(owner)

    def end(self) -> None:
        """It is registered no more."""
        self.confirmation.end()
        self.report.end()

    def next_requests(self, now: float) -> list[Request]:
        """Confirmations first: allocators wait for them. The last write of the Speaker comes after theirs."""
        confirmation = self.confirmation.next_request(now)
        others = (self.speaker.next_request(now), self.report.next_request(now))
        return [one for one in (confirmation, *others) if one is not None]

    def deadline(self) -> float | None:
        """When to ask for requests though nothing changed; None = no need."""
        return earliest(self.confirmation.deadline(), self.speaker.deadline(), self.report.deadline())

    def take(self, outcome: Outcome, now: float) -> bool:
        """Hand it to the writer of confirmations or of the report, if that asked for it. False: the writer of the
        Speaker did, whose answers say whether this process is still the node's speaker, so they are for who asks."""
        for writer in (self.confirmation, self.report):
            if writer.attempts.request is outcome.request:
                self._tell(writer, outcome, now)
                return True
        return False

    def _tell(self, writer: ConfirmationWriter | ReportWriter, outcome: Outcome, now: float) -> None:
        match outcome:
            case Found():
                writer.found(outcome)
            case Wrote():
                writer.wrote(outcome)
            case Deleted():
                self.report.deleted(outcome)
            case Failed():
                writer.failed(outcome, now)
