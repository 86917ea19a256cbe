"""What a Speaker says when nothing is heard of it any more, as the node controller does for a Node. Pure.

The allocator writes it, for people and for what watches conditions; no release is judged by it. Only Ready changes, and
only where it was True: others take a speaker that was serving for one that serves, if it shows signs of life.
"""

from typing import Any

from allocator.release.speakers import SpeakerState
from crds.conditions import ConditionType, Reason

MESSAGE = (
    "Nothing is heard of the speaker: its Lease has not been renewed for {seconds:.0f} s. Look at its pod, and whether "
    "its node can reach the API server"
)

SILENT_SECONDS = 30.0
"""A speaker whose Lease was not renewed for so long is called silent."""


def silent_conditions(speaker: SpeakerState, seconds: float, timestamp: str) -> list[dict[str, Any]] | None:
    """All conditions on the wire, with Ready unknown; None where that is not to be said: it did not say that it is
    ready, or what it says can't be read. `seconds`: of silence after which it is said."""
    given = speaker.status.conditions
    conditions = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    ready = next((one for one in conditions if one.get("type") == ConditionType.Ready), None)
    if ready is None or ready.get("status") != "True" or speaker.goodbye:
        return None
    unknown = {
        **ready,
        "status": "Unknown",
        "reason": str(Reason.NodeSilent),
        "message": MESSAGE.format(seconds=seconds),
        "lastTransitionTime": timestamp,
    }
    return [unknown if one is ready else one for one in conditions]
