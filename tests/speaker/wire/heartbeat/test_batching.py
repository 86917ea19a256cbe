"""How many packets wait in a socket until they are taken in together: no more than it holds."""

import socket

import pytest

from speaker.members.heartbeats import HeartbeatOptions
from speaker.wire.heartbeat.io.part import BATCH_SECONDS, batch_seconds
from speaker.wire.heartbeat.io.sockets import HELD_BYTES, unicast_socket

COUNTED_BYTES = 2560
"""What the kernel counts for a packet of 1200 bytes, with its own structures."""


@pytest.mark.parametrize("members", [1, 5, 20, 50, 100, 250, 500, 1000, 5000])
def test_what_waits_fits_into_half_of_a_socket(members: int) -> None:
    rate = members / HeartbeatOptions().interval_seconds(members)
    assert rate * batch_seconds(rate) * COUNTED_BYTES <= HELD_BYTES


def test_a_socket_holds_twice_of_what_may_wait() -> None:
    with unicast_socket(socket.AF_INET, 0) as opened:
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 2 * HELD_BYTES


def test_in_a_cluster_of_fifty_packets_are_taken_in_when_we_send_ourselves() -> None:
    assert batch_seconds(49 / HeartbeatOptions().interval_seconds(49)) == BATCH_SECONDS


def test_few_packets_may_wait_until_we_send_ourselves() -> None:
    assert batch_seconds(0.0) == BATCH_SECONDS
    assert batch_seconds(100.0) == BATCH_SECONDS
