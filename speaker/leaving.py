"""The last steps of a speaker, and how long each may take. Pure: speaker.core does what each step is for.

handing over --> stopping the wire --> saying goodbye --> giving the Lease back --> over
                                             | late               | late
                                             +------> failed <----+
"""

from enum import Enum

from speaker.own.writer import Goal

LEAVE_SECONDS = 3.0
"""For all that is handed over; speaker.layer2.handover gives up each address sooner."""
CONFIRM_SECONDS = 1.0
"""For the writes of releases that were confirmed in the end."""
GOODBYE_SECONDS = 5.0
"""For each of the last two writes, well within a pod's 30 s to stop."""


class Step(Enum):
    """What is under way."""

    NOT_LEAVING = "NotLeaving"
    HANDING_OVER = "HandingOver"
    STOPPING_WIRE = "StoppingWire"
    WIRE_STOPPED = "WireStopped"
    SAYING_GOODBYE = "SayingGoodbye"
    GIVING_LEASE_BACK = "GivingLeaseBack"
    OVER = "Over"


class Leaving:
    """`now`: monotonic seconds."""

    def __init__(self) -> None:
        self._step = Step.NOT_LEAVING
        self._until: float | None = None
        self._is_ordered = False
        self.has_failed = False
        """Whether the API server could not be told in time."""

    @property
    def is_over(self) -> bool:
        return self._step is Step.OVER

    def begin(self, now: float, *, hands_over: bool) -> None:
        """`hands_over`: others take over what this node announces, and need a moment for it."""
        self._step, self._until = Step.HANDING_OVER, now + LEAVE_SECONDS if hands_over else now

    def may_end(self, now: float, *, layer2: bool, bgp: bool) -> bool:
        """Whether to be silent now, once: the two ways to announce have left, or their time is up.

        BGP has a time of its own; when that is up, it has left.
        """
        if self._step is not Step.HANDING_OVER:
            return False
        if layer2 or self._is_late(now):
            self._until = None
        if not bgp or self._until is not None:
            return False
        self._step = Step.STOPPING_WIRE
        return True

    def takes_wire_stop(self) -> bool:
        """Whether to have the wire process end, once."""
        return self._take(Step.STOPPING_WIRE)

    def wire_stopped(self) -> None:
        """It has withdrawn everything and ended."""
        self._step, self._is_ordered, self._until = Step.WIRE_STOPPED, False, None

    def may_say_goodbye(self, now: float, *, has_confirmed: bool) -> bool:
        """Whether to say goodbye now, once. `has_confirmed`: releases that were confirmed are written, or can't be;
        they have a moment's time."""
        if self._step is not Step.WIRE_STOPPED:
            return False
        if not has_confirmed and not self._is_late(now):
            self._until = now + CONFIRM_SECONDS if self._until is None else self._until
            return False
        self._step, self._until = Step.SAYING_GOODBYE, now + GOODBYE_SECONDS
        return True

    def takes_lease(self) -> bool:
        """Whether to give the Lease back, once."""
        return self._take(Step.GIVING_LEASE_BACK)

    def lease_released(self, *, has_failed: bool) -> None:
        """It was given back, or that failed."""
        self._step, self._until, self.has_failed = Step.OVER, None, has_failed

    def pass_time(self, now: float, goal: Goal) -> None:
        """`goal`: how far the goodbye is."""
        if self._step is Step.SAYING_GOODBYE and goal is Goal.SAID:
            self._step, self._until = Step.GIVING_LEASE_BACK, now + GOODBYE_SECONDS
        elif self._step in (Step.SAYING_GOODBYE, Step.GIVING_LEASE_BACK) and self._is_late(now):
            self._step, self._until, self.has_failed = Step.OVER, None, True

    def deadline(self) -> float | None:
        """When to come back though nothing happens."""
        return self._until

    def _is_late(self, now: float) -> bool:
        return self._until is not None and now >= self._until

    def _take(self, step: Step) -> bool:
        if self._step is not step or self._is_ordered:
            return False
        self._is_ordered = True
        return True
