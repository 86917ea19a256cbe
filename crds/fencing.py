"""The arithmetic of fencing, which speakers and allocators must do alike. Only differences of one machine's own clock.

F is the promise's `fenceAfterSeconds`. A speaker that promised and was cut off counts as silent when its Lease has not
been renewed for F and a strict majority of its *witnesses* has outlived it. A witness has outlived it when it had
contact with the API server that began more than `outlived_after_seconds(F)` after the speaker's last renewal. The
speaker announces past F only while it hears the opposite from a strict majority of the same witnesses. Two majorities
have a witness in common, and that one can't say both.
Why that holds whatever stops, lags or parts: docs/model/README.md.
"""

WITNESSES = 31
"""The most, the speaker itself included: a promise costs a few hundred bytes also in a cluster of thousands."""

WIRE_PERMIT_SECONDS = 3.0
"""How long the wire process speaks without a new permit: three of the agent's seconds."""

HEARD_SECONDS = 5.0
"""What a member said longer ago than this may not be what it says now."""

SETTLE_SECONDS = HEARD_SECONDS + WIRE_PERMIT_SECONDS + 2.0
"""From the proof that witnesses outlived a speaker until an allocator acts on it: by then the speaker has heard of it,
or hears nothing, and its last permit has run out. Two seconds for clocks of different speed."""

OUTLIVED_SLACK_SECONDS = 1.0
"""The allocator counts this much more: its clock may run at another speed than a speaker's."""

PROOF_RENEWALS = 3
"""Three renewals of one Lease, one after the other, prove that its holder reached the API server, and got an answer,
after our first read: each names the version before it, so it was sent after that one was known to have arrived."""


def margin_seconds(fence_after_seconds: float) -> float:
    """A speaker is silent this much earlier than it promised: more than clocks drift and a permit takes to expire."""
    return max(WIRE_PERMIT_SECONDS, fence_after_seconds / 10)


def outlived_after_seconds(fence_after_seconds: float) -> float:
    """Contact this much later than a speaker's last renewal outlives it. Less is what an outage for all looks like."""
    return fence_after_seconds / 2
