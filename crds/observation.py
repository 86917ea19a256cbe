"""What was observed of an object, and the condition that it becomes: the rules for times are the same for every writer.

Kubernetes API conventions (Typical status properties): lastTransitionTime moves when the status changes, and at nothing
else. Observes nothing itself.
"""

from dataclasses import dataclass
from typing import Protocol

from crds.conditions import ConditionType, Reason
from crds.meta import Condition

MESSAGE_LIMIT = 32768
"""metav1.Condition: the longest message that an API server takes, in characters."""


class Previous(Protocol):
    """A condition as it is, in whatever form it was decoded."""

    @property
    def status(self) -> str:
        """True, False or Unknown, as text."""

    @property
    def last_transition_time(self) -> str | None:
        """metav1.Time; None where the writer left it out."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A condition before it has times."""

    type: ConditionType
    holds: bool
    reason: Reason
    message: str

    @property
    def status(self) -> str:
        """As a condition has it."""
        return "True" if self.holds else "False"

    def condition(self, previous: Previous | None, now: str, generation: int | None = None) -> Condition:
        """The condition that follows the `previous` one of this type, None where there is none.

        `now`: metav1.Time. `generation`: that of the object that was observed; None leaves observedGeneration out.
        """
        since = previous.last_transition_time if previous is not None and previous.status == self.status else None
        return Condition(
            type=str(self.type),
            status="True" if self.holds else "False",
            reason=str(self.reason),
            message=self.message[:MESSAGE_LIMIT],
            last_transition_time=since or now,
            observed_generation=generation,
        )
