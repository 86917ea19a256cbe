"""The agent's course of BGP, with routers that are plain tables: what comes before what, what releases wait for."""

import asyncio
import base64

import pytest

from kube.resource import BFDPROFILES, BGPPEERS, L2ADVERTISEMENTS, NODES, SECRETS, SPEAKERS
from speaker.wire.messages import BfdState, BfdStates
from tests.speaker.agents import NAMESPACE, cluster, eventually
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

A, B = "192.0.2.1", "192.0.2.2"
ROUTE_A = f"{A}/32"


async def with_one_peer(lab, **spec) -> None:
    await lab.add_peer("tor", **spec)
    await lab.advertise_by_bgp()
    await lab.set_endpoints("node-a")
    await lab.allocate(A)


async def test_an_address_becomes_a_route_and_the_status_says_so(tmp_path) -> None:
    async with cluster(tmp_path) as lab, lab.speaker() as speaker:
        await with_one_peer(lab)
        await eventually(lambda: speaker.driver.prefixes == {"tor": {ROUTE_A}})

        async def told():
            status = await lab.status("node-a")
            sessions = [(one["peer"], one["state"], one["routesSent"]) for one in status.get("bgpSessions", [])]
            return sessions == [("tor", "Established", 1)] and status["announcements"].get(A)

        entry = await eventually(told)
        assert entry["protocols"] == ["BGP", "Layer2"]
        assert entry["peers"] == ["tor"]
        assert entry["interfaces"] == ["eth0"]


async def test_no_session_before_the_api_server_knows_how_long_its_routes_live(tmp_path) -> None:
    async with cluster(tmp_path) as lab, lab.speaker() as speaker:
        await lab.add_peer("tor", holdTimeSeconds=30, gracefulRestart={"restartTimeSeconds": 60})
        await eventually(lambda: "session tor" in speaker.journal)
        assert _longest(await lab.status("node-a")) == 30 + 60 + 15
        written = speaker.journal.index("session tor")
        assert "done patch speakers status" in speaker.journal[:written]
        await lab.admin.delete(BGPPEERS, "tor")
        await eventually(lambda: _outlives(lab, 0))


async def test_no_session_before_everything_is_read_and_all_routes_are_there_when_it_comes(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await with_peer_only(lab)
        for number in range(1, 251):  # several slices of decisions
            await lab.allocate(f"192.0.2.{number}")
        async with lab.speaker() as speaker:
            await eventually(lambda: "session tor" in speaker.journal)
            assert speaker.position("permit") < speaker.journal.index("session tor")
            assert speaker.driver.known_at_start == {"tor": 250}


async def test_a_release_waits_for_the_routers_and_the_wire(tmp_path) -> None:
    async with cluster(tmp_path) as lab, lab.speaker() as speaker:
        await with_one_peer(lab)
        await eventually(lambda: speaker.driver.prefixes == {"tor": {ROUTE_A}} and A in speaker.wire.table)
        speaker.driver.is_confirming = False
        uid, generation = await lab.release(A)
        await eventually(lambda: A not in speaker.wire.table)
        await asyncio.sleep(0.3)
        assert await lab.released("node-a") == {}
        speaker.driver.is_confirming = True
        speaker.driver.settle()
        await eventually(lambda: lab.released("node-a"))
        assert await lab.released("node-a") == {uid: generation}
        assert speaker.position(f"withdrawn {ROUTE_A} from tor") < speaker.position(
            f"send patch releaseconfirmations ['{uid}']"
        )


async def test_an_aggregate_that_stands_for_others_holds_no_release_back(tmp_path) -> None:
    async with cluster(tmp_path) as lab, lab.speaker() as speaker:
        await lab.add_peer("tor")
        await lab.advertise_by_bgp(aggregationLength=24)
        await lab.set_endpoints("node-a")
        await lab.allocate(A)
        await lab.allocate(B)
        await eventually(lambda: speaker.driver.prefixes == {"tor": {"192.0.2.0/24"}})
        await eventually(lambda: {str(one) for one in speaker.blackholes.prefixes} == {"192.0.2.0/24"})
        speaker.driver.is_confirming = False
        await lab.release(A)
        await eventually(lambda: lab.released("node-a"))
        uid, _ = await lab.release(B)  # the last one: now the aggregate must be gone first
        await asyncio.sleep(0.5)
        assert uid not in await lab.released("node-a")
        speaker.driver.is_confirming = True
        speaker.driver.settle()
        await eventually(lambda: _has_released(lab, uid))
        await eventually(lambda: not speaker.blackholes.prefixes)


async def test_routes_of_a_killed_predecessor_hold_releases_back_until_its_routers_have_new_sessions(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        async with lab.speaker() as first:
            await with_one_peer(lab)
            await eventually(lambda: _announces(lab, "BGP"))
            assert first.driver.prefixes
        async with lab.speaker() as second:
            await eventually(lambda: second.driver.prefixes == {"tor": {ROUTE_A}})
            assert _longest(await lab.status("node-a")) >= 90
            await lab.release(A)
            await eventually(lambda: not second.driver.prefixes and A not in second.wire.table)
            await asyncio.sleep(0.5)
            assert await lab.released("node-a") == {}
            second.driver.synced_routers = frozenset(peer.router for peer in second.driver.peers.values())
            second.driver.on_change()
            await eventually(lambda: lab.released("node-a"))


async def test_while_the_status_cannot_be_written_no_other_router_gets_a_session(tmp_path) -> None:
    """A successor would know nothing of it, and confirm what it may have a route to."""
    async with cluster(tmp_path) as lab:
        async with lab.speaker() as first:
            await with_one_peer(lab)
            await eventually(lambda: first.driver.prefixes == {"tor": {ROUTE_A}})
            await eventually(lambda: _names_routers(lab, "192.0.2.250"))
            fault = lab.server.faults.add(method="PATCH", resource="speakers/status", code=503)
            await lab.add_peer("tor2", address="192.0.2.253")
            await asyncio.sleep(3)
            assert first.driver.prefixes == {"tor": {ROUTE_A}}
            assert set(first.driver.peers) == {"tor"}
            lab.server.faults.remove(fault)
            await eventually(lambda: set(first.driver.prefixes) == {"tor", "tor2"})
        async with lab.speaker() as second:
            await eventually(lambda: set(second.driver.prefixes) == {"tor", "tor2"})
            await lab.release(A)
            await eventually(lambda: not second.driver.prefixes and A not in second.wire.table)
            second.driver.synced_routers = frozenset({"192.0.2.250"})
            second.driver.on_change()
            await asyncio.sleep(1)
            assert await lab.released("node-a") == {}
            second.driver.synced_routers |= {"192.0.2.253"}
            second.driver.on_change()
            await eventually(lambda: lab.released("node-a"))


async def test_a_clean_stop_drains_then_withdraws_then_says_goodbye(tmp_path) -> None:
    async with cluster(tmp_path) as lab, lab.speaker() as speaker:
        await with_one_peer(lab)
        await eventually(lambda: speaker.driver.prefixes)
        await speaker.stop()
        order = ["drain", "sessions stopped", "wire stopped", "done patch speakers goodbye"]
        positions = [speaker.journal.index(entry) for entry in order]
        assert positions == sorted(positions)
        assert (await lab.status("node-a"))["goodbye"] is True


async def test_with_graceful_restart_it_leaves_the_routes_and_says_no_goodbye(tmp_path) -> None:
    async with cluster(tmp_path) as lab, lab.speaker() as speaker:
        await with_one_peer(lab, gracefulRestart={"restartTimeSeconds": 60})
        await eventually(lambda: speaker.driver.prefixes)
        await speaker.stop()
        assert "drain" not in speaker.journal
        assert speaker.driver.prefixes == {"tor": {ROUTE_A}}
        status = await lab.status("node-a")
        assert status.get("goodbye", False) is False
        assert _longest(status) == 90 + 60 + 15
        assert len(status["routers"]) == 1
        (ready,) = (one for one in status["conditions"] if one["type"] == "Ready")
        assert ready["reason"] == "Stopped"
        assert await lab.lease_holder("node-a") == ""


async def test_who_may_not_announce_withdraws_its_routes_and_keeps_the_sessions(tmp_path) -> None:
    async with cluster(tmp_path) as lab, lab.speaker() as speaker:
        await with_one_peer(lab)
        await eventually(lambda: speaker.driver.prefixes)
        await lab.admin.delete(SPEAKERS, "node-a")  # somebody's word that this speaker is dead
        await eventually(lambda: f"withdrawn {ROUTE_A} from tor" in speaker.journal)
        assert "tor" in speaker.driver.peers
        await eventually(lambda: speaker.driver.prefixes == {"tor": {ROUTE_A}})
        assert speaker.journal.count("session tor") == 1


async def test_an_excluded_node_drains_and_then_has_no_routes(tmp_path) -> None:
    async with cluster(tmp_path) as lab, lab.speaker() as speaker:
        await with_one_peer(lab)
        await eventually(lambda: speaker.driver.prefixes)
        labels = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}
        await lab.admin.merge_patch(NODES, "node-a", {"metadata": {"labels": labels}})
        await eventually(lambda: not speaker.driver.prefixes)
        assert speaker.position("drain") < speaker.position(f"withdrawn {ROUTE_A} from tor")


async def test_a_peer_with_a_password_has_no_session_until_the_secret_is_there(tmp_path) -> None:
    async with cluster(tmp_path) as lab, lab.speaker() as speaker:
        await with_one_peer(lab, passwordSecretRef={"name": "tor", "key": "password"})

        async def told():
            sessions = (await lab.status("node-a")).get("bgpSessions", [])
            return [one for one in sessions if one["state"] == "Idle" and "password" in one["lastError"]]

        await eventually(told)
        assert not speaker.driver.peers
        data = {"password": base64.b64encode(b"s3cret").decode()}
        await lab.admin.create(SECRETS, {"metadata": {"name": "tor"}, "data": data}, NAMESPACE)
        await eventually(lambda: speaker.driver.peers)
        assert speaker.driver.peers["tor"].password == "s3cret"
        changed = {"password": base64.b64encode(b"another").decode()}
        await lab.admin.merge_patch(SECRETS, "tor", {"data": changed}, namespace=NAMESPACE)
        await eventually(lambda: speaker.driver.peers["tor"].password == "another")


async def test_a_password_stays_in_use_while_its_secret_is_gone_and_over_new_registrations(tmp_path) -> None:
    async with cluster(tmp_path) as lab, lab.speaker() as speaker:
        secret = {"metadata": {"name": "tor"}, "data": {"password": base64.b64encode(b"s3cret").decode()}}
        await lab.admin.create(SECRETS, secret, NAMESPACE)
        await with_one_peer(lab, passwordSecretRef={"name": "tor", "key": "password"})
        await eventually(lambda: speaker.driver.prefixes == {"tor": {ROUTE_A}})
        ordered = []
        speaker.driver.set_peers = ordered.append

        async def faults():
            found = (await lab.status("node-a")).get("faults", [])
            return [one["message"] for one in found if one["object"] == "BGPPeer/tor"]

        assert await faults() == []
        await lab.admin.delete(SECRETS, "tor", namespace=NAMESPACE)
        (message,) = await eventually(faults)
        assert (
            "Secret tor in Berth's namespace any more: the session goes on with the one that was read last" in message
        )
        await lab.admin.delete(SPEAKERS, "node-a")  # it registers anew
        await eventually(lambda: speaker.driver.is_silent)
        await eventually(lambda: speaker.driver.prefixes == {"tor": {ROUTE_A}})
        assert await eventually(faults) == [message]
        await lab.admin.create(SECRETS, secret, NAMESPACE)

        async def has_no_fault():
            return not await faults()

        await eventually(has_no_fault)
        assert ordered == []


async def test_bfd_is_ordered_from_the_wire_and_its_failure_takes_the_routes_away(tmp_path) -> None:
    async with cluster(tmp_path) as lab, lab.speaker() as speaker:
        await lab.admin.create(BFDPROFILES, {"metadata": {"name": "fast"}, "spec": {"detectMultiplier": 5}})
        await with_one_peer(lab, bfdProfile="fast")
        await eventually(lambda: speaker.wire.bfd_wanted)
        assert speaker.wire.bfd_wanted["tor"].detect_multiplier == 5
        await eventually(lambda: speaker.driver.prefixes)
        down = BfdState("Down", "Down", 1.0, True, "control detection time expired", 900, 300, "")
        speaker.wire.bfd_sessions = {"tor": down}
        speaker.agent.tell(BfdStates(speaker.wire.bfd_sessions))
        await eventually(lambda: not speaker.driver.prefixes)
        up = down._replace(state="Up", has_failed=False)
        speaker.wire.bfd_sessions = {"tor": up}
        speaker.agent.tell(BfdStates(speaker.wire.bfd_sessions))
        await eventually(lambda: speaker.driver.prefixes == {"tor": {ROUTE_A}})

        async def told():
            return [one["state"] for one in (await lab.status("node-a")).get("bfdSessions", [])] == ["Up"]

        await eventually(told)


async def _names_routers(lab, *routers: str) -> bool:
    return {one["address"] for one in (await lab.status("node-a")).get("routers", [])} == set(routers)


def _longest(status) -> int:
    """For how long the router that keeps routes for longest may do so."""
    return max((one["outlivesSeconds"] for one in status.get("routers", [])), default=0)


async def _outlives(lab, seconds: int) -> bool:
    return _longest(await lab.status("node-a")) == seconds


async def _has_released(lab, uid: str) -> bool:
    return uid in await lab.released("node-a")


async def _announces(lab, protocol: str) -> bool:
    entry = (await lab.status("node-a")).get("announcements", {}).get(A, {})
    return protocol in entry.get("protocols", [])


async def test_an_address_that_bgp_alone_announces_is_nothing_to_complain_of(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.admin.delete(L2ADVERTISEMENTS, "all")
        await lab.allocate(A)
        async with lab.speaker() as speaker:
            await eventually(lambda: _announceable(lab, "False"))
            await with_peer_only(lab)
            await eventually(lambda: speaker.driver.prefixes)
            await eventually(lambda: _announceable(lab, "True"))


async def with_peer_only(lab) -> None:
    await lab.add_peer("tor")
    await lab.advertise_by_bgp()
    await lab.set_endpoints("node-a")


async def _announceable(lab, status: str) -> bool:
    conditions = (await lab.status("node-a")).get("conditions", [])
    return any(one["type"] == "Announceable" and one["status"] == status for one in conditions)
