"""How many packets wait in a socket until they are taken in together: no more than it holds."""

import pytest

from speaker.members.heartbeats import HeartbeatOptions
from speaker.wire.heartbeat.io.part import BATCH_SECONDS, batch_seconds

SOCKET_BYTES = 212_992
"""net.core.rmem_default of Linux."""
COUNTED_BYTES = 2560
"""What the kernel counts for a packet of 1200 bytes, with its own structures."""


@pytest.mark.parametrize("members", [1, 5, 20, 50, 100, 250, 500, 1000, 5000])
def test_what_waits_fits_into_half_of_a_socket(members: int) -> None:
    rate = members / HeartbeatOptions().interval_seconds(members)
    assert rate * batch_seconds(rate) * COUNTED_BYTES <= SOCKET_BYTES / 2


def test_few_packets_may_wait_until_we_send_ourselves() -> None:
    assert batch_seconds(0.0) == BATCH_SECONDS
    assert batch_seconds(100.0) == BATCH_SECONDS
