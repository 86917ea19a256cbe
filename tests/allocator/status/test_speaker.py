"""What a Speaker that is silent says: as much as is known, and nothing of others."""

from typing import Any

import pytest

from allocator.release.speakers import SpeakerState, SpeakerStatus
from allocator.status.speaker import silent_conditions
from kube.objects import Meta

NOW = "2026-03-01T00:00:00Z"
PROMISE = {"type": "PromisesFencing", "status": "True", "reason": "PromiseInForce"}


def speaker(conditions: Any, **status: Any) -> SpeakerState:
    return SpeakerState(metadata=Meta(name="node1"), status=SpeakerStatus("i1", conditions=conditions, **status))


def ready(status: str) -> dict[str, str]:
    return {"type": "Ready", "status": status, "reason": "Serving", "message": "m", "lastTransitionTime": "before"}


def test_one_that_was_ready_is_unknown_now_and_keeps_its_other_conditions() -> None:
    said = silent_conditions(speaker([ready("True"), PROMISE]), 30.0, NOW)
    assert said is not None
    assert said[1] == PROMISE
    assert {name: said[0][name] for name in ("status", "reason", "lastTransitionTime")} == {
        "status": "Unknown",
        "reason": "NodeSilent",
        "lastTransitionTime": NOW,
    }
    assert "30 s" in said[0]["message"]


@pytest.mark.parametrize(
    "silent",
    [
        speaker([ready("Unknown"), PROMISE]),
        speaker([ready("False")]),
        speaker([PROMISE]),
        speaker(None),
        speaker("nonsense"),
        speaker([None, 7]),
        speaker([ready("True")], goodbye=True),
    ],
    ids=["said already", "not ready", "no word on it", "no conditions", "unreadable", "unreadable entries", "stopped"],
)
def test_of_others_nothing_is_written(silent: SpeakerState) -> None:
    assert silent_conditions(silent, 30.0, NOW) is None
