"""How long to wait before the next attempt.

Pure: randomness comes in as a number, so that a delay is a function of its arguments.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubling delays with jitter: attempt 0 waits around `base_seconds`, none waits longer than `cap_seconds`.

    The jitter takes up to half of the delay away ("equal jitter"): never zero, so that a server in trouble is always
    given some rest, and spread enough that a thousand clients do not come back in one moment.
    """

    base_seconds: float = 0.1
    cap_seconds: float = 10.0

    def delay_seconds(self, attempt: int, randomness: float) -> float:
        """The wait before attempt number `attempt` (from 0); `randomness` is uniform in [0, 1)."""
        # 2**30 is beyond any cap: a very long outage must not grow the number forever.
        longest = min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempt, 30))
        return longest * (0.5 + 0.5 * randomness)
