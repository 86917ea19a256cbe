"""What a speaker shows to Prometheus and to a kubelet."""

import asyncio
import contextlib
import socket
from dataclasses import replace
from ipaddress import ip_address

import pytest

from crds.speaker import BGPSessionState
from kube.process.io.prometheus import MOST_NAMES, OTHERS
from kube.process.listening import Listening
from speaker.bgp.model import SessionView
from speaker.io.metrics import Snapshot, SpeakerMetrics
from speaker.io.supervisor import listener_for
from speaker.wire.messages import Counters


def value(metrics, name, **labels):
    return metrics.families.registry.get_sample_value(name, labels)


def test_gauges_show_the_latest_snapshot_only() -> None:
    metrics = SpeakerMetrics()
    metrics.show(Snapshot({"Announced": 2, "OtherOwner": 1}, speakers_known=3, speakers_alive=2, is_ready=True))
    metrics.show(Snapshot({"Announced": 1}, speakers_known=3, speakers_alive=3, is_ready=False))
    assert value(metrics, "berth_speaker_addresses", state="Announced") == 1
    assert value(metrics, "berth_speaker_addresses", state="OtherOwner") is None
    assert value(metrics, "berth_members", state="alive") == 3
    assert value(metrics, "berth_speaker_ready") == 0


def test_totals_of_the_wire_become_counters() -> None:
    metrics = SpeakerMetrics()
    for total in (5, 5, 12):
        metrics.wire_counters(Counters({"eth0": {"replies": total, "of the future": 1}}, {}))
    assert value(metrics, "berth_arp_replies_sent_total", interface="eth0") == 12


def test_heartbeats_are_counted_and_those_dropped_by_their_reason() -> None:
    metrics = SpeakerMetrics()
    for total in (3, 7):
        metrics.wire_counters(Counters({}, {}, {"sent": total, "received": 2, "failed": 1, "unsigned": total}))
    assert value(metrics, "berth_heartbeats_sent_total") == 7
    assert value(metrics, "berth_heartbeats_received_total") == 2
    assert value(metrics, "berth_heartbeat_send_failures_total") == 1
    assert value(metrics, "berth_heartbeats_dropped_total", reason="unsigned") == 7


def test_bfd_sessions_are_shown_by_state_and_their_packets_counted_by_kind() -> None:
    metrics = SpeakerMetrics()
    metrics.show(Snapshot(bfd_sessions={"Up": 2, "Down": 0}))
    for total in (3, 7):
        metrics.wire_counters(Counters({}, {}, {"sent": 50}, {"sent": total, "received": 2, "ttl": total}))
    assert value(metrics, "berth_bfd_sessions", state="Up") == 2
    assert value(metrics, "berth_bfd_sessions", state="Down") == 0
    assert value(metrics, "berth_bfd_packets_sent_total") == 7
    assert value(metrics, "berth_bfd_packets_received_total") == 2
    assert value(metrics, "berth_bfd_packets_dropped_total", reason="ttl") == 7


def test_bgp_sessions_are_shown_by_state_and_peer_and_what_went_down_is_counted() -> None:
    metrics = SpeakerMetrics()
    up = SessionView("tor", ip_address("192.0.2.1"), BGPSessionState.Established, 1.0, routes_sent=3)
    metrics.show(Snapshot(bgp_sessions={"tor": up}))
    assert value(metrics, "berth_bgp_sessions", state="Established") == 1
    assert value(metrics, "berth_bgp_sessions", state="Idle") == 0
    assert value(metrics, "berth_bgp_routes_sent", peer="tor") == 3
    assert value(metrics, "berth_bgp_session_downs_total", peer="tor") == 0
    for _ in range(2):
        metrics.show(Snapshot(bgp_sessions={"tor": replace(up, downs=2)}))
    assert value(metrics, "berth_bgp_session_downs_total", peer="tor") == 2
    metrics.show(Snapshot())
    assert value(metrics, "berth_bgp_routes_sent", peer="tor") is None


def test_each_peer_has_a_gauge_of_its_own_that_goes_with_it() -> None:
    metrics = SpeakerMetrics()
    up = SessionView("tor", ip_address("192.0.2.1"), BGPSessionState.Established, 1.0)
    down = replace(up, peer="leaf", state=BGPSessionState.Active)
    metrics.show(Snapshot(bgp_sessions={"tor": up, "leaf": down}, bfd_up={"tor": False}))
    assert value(metrics, "berth_bgp_session_up", peer="tor") == 1
    assert value(metrics, "berth_bgp_session_up", peer="leaf") == 0
    assert value(metrics, "berth_bfd_session_up", peer="tor") == 0
    metrics.show(Snapshot(bgp_sessions={"leaf": down}))
    assert value(metrics, "berth_bgp_session_up", peer="tor") is None
    assert value(metrics, "berth_bfd_session_up", peer="tor") is None
    assert value(metrics, "berth_bgp_session_downs_total", peer="tor") is None
    assert value(metrics, "berth_bgp_session_downs_total", peer="leaf") == 0


def test_peers_beyond_a_number_share_a_gauge_that_is_1_while_all_are_up() -> None:
    metrics = SpeakerMetrics()
    up = SessionView("tor", ip_address("192.0.2.1"), BGPSessionState.Established, 1.0, routes_sent=2)
    peers = {f"tor-{number:04}": up for number in range(MOST_NAMES + 2)}
    metrics.show(Snapshot(bgp_sessions=peers))
    assert value(metrics, "berth_bgp_session_up", peer=OTHERS) == 1
    assert value(metrics, "berth_bgp_routes_sent", peer=OTHERS) == 4
    peers[f"tor-{MOST_NAMES:04}"] = replace(up, state=BGPSessionState.Idle)
    metrics.show(Snapshot(bgp_sessions=peers))
    assert value(metrics, "berth_bgp_session_up", peer=OTHERS) == 0


def test_addresses_taken_over_are_counted_by_what_keeps_the_former_owner_away() -> None:
    metrics = SpeakerMetrics()
    metrics.owner_changed("NotHeard", 5000)
    assert value(metrics, "berth_owner_changes_total", reason="NotHeard") == 5000


def test_conflicts_withdrawals_and_registrations_are_counted() -> None:
    metrics = SpeakerMetrics()
    metrics.conflict_seen(is_speakers=False)
    metrics.withdrawn(0.003)
    metrics.registered_anew("Paused")
    assert value(metrics, "berth_address_conflicts_total", by="stranger") == 1
    assert value(metrics, "berth_speaker_withdraw_seconds_count") == 1
    assert value(metrics, "berth_speaker_registrations_total", reason="Paused") == 1


def asked(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()


@contextlib.asynccontextmanager
async def listening(snapshot):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    listener = listener_for(SpeakerMetrics(), lambda: snapshot)
    serving = asyncio.create_task(listener.serve(Listening(metrics=f"127.0.0.1:{port}"), None))
    await asyncio.sleep(0.05)

    async def get(request):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]) if head else None, body.decode()

    try:
        yield get
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


@pytest.mark.asyncio
async def test_a_speaker_that_announces_is_ready_and_healthy() -> None:
    async with listening(Snapshot({"Announced": 1}, is_ready=True)) as get:
        assert await get(asked("/readyz")) == (200, "ok\n")
        assert (await get(asked("/healthz")))[0] == 200
        code, body = await get(asked("/metrics?x=y"))
        assert code == 200
        assert 'berth_speaker_addresses{state="Announced"} 1.0' in body
        assert (await get(asked("/else")))[0] == 404


@pytest.mark.asyncio
async def test_one_that_does_not_says_what_it_waits_for() -> None:
    async with listening(Snapshot(waits_for="Starting: reading nodes", is_healthy=False)) as get:
        assert await get(asked("/readyz")) == (503, "Starting: reading nodes\n")
        assert (await get(asked("/healthz")))[0] == 503


@pytest.mark.asyncio
async def test_one_whose_writes_are_refused_is_not_ready_and_says_so() -> None:
    async with listening(Snapshot(is_ready=True, refused="the API server refuses to patch x")) as get:
        assert await get(asked("/readyz")) == (503, "the API server refuses to patch x\n")


@pytest.mark.asyncio
@pytest.mark.parametrize("nonsense", [b"\0\r\n\r\n", b"x" * 10000, b"GET\r\n\r\n"])
async def test_nonsense_ends_its_own_connection_only(nonsense) -> None:
    async with listening(Snapshot(is_ready=True)) as get:
        with contextlib.suppress(ConnectionError):
            assert (await get(nonsense))[0] in (None, 400)
        assert (await get(asked("/readyz")))[0] == 200
