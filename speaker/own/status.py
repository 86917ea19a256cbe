"""What this node wants said of it, by object: the Speaker, what it has confirmed, and its report. Pure.

Here alone is decided what belongs where: what others must know to be safe and to share out addresses is the Speaker's,
and what people read is the report's. The writers (speaker.own.writer, confirming, reporting) write what differs.
"""

from collections.abc import Iterable
from typing import Any

from crds.conditions import ConditionType
from crds.releaseconfirmation import MOST_CONFIRMED
from speaker.own.entries import Entry, interface_in_brief, interface_in_report
from speaker.own.patched import PatchedFields, PatchedMap
from speaker.own.refused import Refusals
from speaker.own.slices import LISTS, ReportedMap, Slices

WHO = frozenset({ConditionType.Ready.value, ConditionType.PromisesFencing.value})
"""The conditions that the Speaker has; the others are the report's."""


class StatusDraft:
    """`speaker`, `released` and `report`: what each object should say. `refusals`: what the API server did not take."""

    def __init__(self) -> None:
        self.speaker = PatchedFields(kept=frozenset({"routers", "elsewhere"}))
        self.released: PatchedMap[int] = PatchedMap(MOST_CONFIRMED)
        self.report = Slices()
        self.announcements = ReportedMap(self.report)
        self.refusals = Refusals()

    def set(self, name: str, value: Any) -> None:
        """Want this value in the field of that name, wherever it is."""
        if name in LISTS:
            self.report.put_list(name, value)
        elif name == "conditions":
            self._set_conditions(value)
        elif name == "interfaces":
            self.speaker.set(name, [interface_in_brief(one) for one in value])
            self.report.set(name, [interface_in_report(one) for one in value])
        elif name in ("heard", "faults"):
            self.report.set(name, value)
        else:
            self.speaker.set(name, value)

    def _set_conditions(self, conditions: Iterable[Entry]) -> None:
        every = list(conditions)
        self.speaker.set("conditions", [one for one in every if one["type"] in WHO])
        self.report.set("conditions", [one for one in every if one["type"] not in WHO])

    def wanted(self, name: str) -> Any:
        """What was `set` in that field; of what both say a part of, the Speaker's part."""
        if name in LISTS:
            return self.report.entries(name)
        return self.report.all[0].fields.get(name) if name in ("heard", "faults") else self.speaker.get(name)

    def written(self, name: str) -> Any:
        """The confirmed value of that field of the Speaker; None while it is not known."""
        return self.speaker.written(name)

    def forgive(self, now: float) -> None:
        """What was refused long ago is tried again. `now`: monotonic seconds."""
        if self.refusals.take_forgiven(now):
            self.speaker.forgive()
            self.report.forgive()
