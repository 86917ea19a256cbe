"""The whole allocator against the API server stand-in: what advertisements, peers and records say of themselves."""

import asyncio
import time

import pytest

from allocator.io import barrierloop, reporter
from allocator.io.reporter import GRACE_SECONDS
from kube.resource import (
    BGPADVERTISEMENTS,
    BGPPEERS,
    L2ADVERTISEMENTS,
    SERVICES,
    SPEAKERS,
    Resource,
)
from tests.allocator.cluster import EDGE, Body, User, allocating, settled, speaking

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]


async def test_an_advertisement_that_names_a_pool_in_vain_says_so(user: User) -> None:
    await user.client.create(L2ADVERTISEMENTS, {"metadata": {"name": "ad"}, "spec": {"ipPools": ["edge"]}})

    async def reason() -> str | None:
        body = await user.get(L2ADVERTISEMENTS, "ad")
        conditions = body.get("status", {}).get("conditions", []) if body is not None else []
        return next((one["reason"] for one in conditions), None)

    async with allocating(user.server):

        async def is_unknown() -> bool:
            return await reason() == "UnknownPool"

        async def is_valid() -> bool:
            return await reason() == "Valid"

        await user.until(is_unknown, "the pool is unknown")
        await user.pool("edge", EDGE)
        await until_ready(user, L2ADVERTISEMENTS, "ad", "NoSpeaker")
        async with speaking(user, "node-a"):
            await user.until(is_valid, "the pool is known, and there is a speaker")


async def test_where_another_program_announces_nothing_is_said_of_that(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "NO_SPEAKER_SECONDS", 0.0)
    monkeypatch.setattr(reporter, "GRACE_SECONDS", 0.0)
    await user.pool("edge", EDGE)
    await user.client.create(L2ADVERTISEMENTS, {"metadata": {"name": "ad"}, "spec": {}})
    for has_speakers in (False, True):
        async with allocating(user.server, has_speakers=has_speakers):
            await user.service(f"web-{has_speakers}".lower())
            if not has_speakers:
                await user.until_addresses("web-false", "192.0.2.10")
                await asyncio.sleep(1.5)
                records = (await user.allocations()).values()
                assert not any(one.get("status", {}).get("conditions") for one in records)
                continue

            async def is_told() -> bool:
                body = (await user.allocations()).get("v4-192-0-2-11", {})
                return any(one["reason"] == "NoSpeaker" for one in body.get("status", {}).get("conditions", []))

            await user.until(is_told, "Berth's own speakers are missed", 20.0)


async def test_the_record_says_who_announces(user: User) -> None:
    async with settled(user, "node-a", "node-b") as (speaker, _):
        await speaker.report(announcements={"192.0.2.10": {"protocols": ["Layer2"], "interfaces": ["eth0"]}})

        async def is_told(nodes: list[str]) -> bool:
            status = (await user.allocations())["v4-192-0-2-10"].get("status", {})
            return bool(status.get("announcedBy") == nodes)

        await user.until(lambda: is_told(["node-a"]), "node-a announces")
        status = (await user.allocations())["v4-192-0-2-10"]["status"]
        assert status["conditions"][0]["message"] == "Announced by node-a (Layer2 on eth0)"
        await speaker.report(announcements={})
        await user.until(lambda: is_told([]), "nobody announces")
        reason = (await user.allocations())["v4-192-0-2-10"]["status"]["conditions"][0]["reason"]
        assert reason == "NoAdvertisement"


async def test_the_record_says_why_nobody_announces_as_a_speaker_knows_it(user: User) -> None:
    await user.client.create(L2ADVERTISEMENTS, {"metadata": {"name": "ad"}, "spec": {}})
    why = "its only ready endpoints are on node-d, which has no live speaker"
    async with settled(user, "node-a", "node-b") as (speaker, _):

        async def says(text: str) -> bool:
            conditions = (await user.allocations())["v4-192-0-2-10"].get("status", {}).get("conditions", [])
            return any(one["type"] == "Announced" and one["message"].endswith(text) for one in conditions)

        cause = {"address": "192.0.2.10", "reason": "NoEligibleNode", "message": why}
        await speaker.report(unannounced=[cause])
        await user.until(lambda: says(f"No node announces the address: {why}"), "the cause is said", 20.0)
        await speaker.report(announcements={"192.0.2.10": {"protocols": ["Layer2"], "interfaces": ["eth0"]}})
        await user.until(lambda: says("Announced by node-a (Layer2 on eth0)"), "it is announced")


async def test_a_route_that_is_not_reported_yet_is_not_called_missing(user: User) -> None:
    """Of many speakers each reports in its turn, some seconds later."""
    spec = {"myASN": 64512, "peerASN": 64513, "peerAddress": "192.0.2.1"}
    await user.client.create(BGPPEERS, {"metadata": {"name": "tor1"}, "spec": spec})
    await user.client.create(BGPADVERTISEMENTS, {"metadata": {"name": "ad"}, "spec": {}})
    async with settled(user, *[f"node-{number:02}" for number in range(40)]) as (speaker, *_):
        await speaker.report(bgpSessions=[{"peer": "tor1", "address": "192.0.2.1", "state": "Established"}])
        await asyncio.sleep(GRACE_SECONDS + 1.5)
        assert not (await user.allocations())["v4-192-0-2-10"].get("status", {}).get("conditions")
        assert not await said_of_service(user)

        async def says(reason: str) -> bool:
            return (await said_of_service(user)).get("reason") == reason

        await user.until(lambda: says("NoEligibleNode"), "all have had their turn", 20.0)
        by_bgp = {"192.0.2.10": {"protocols": ["BGP"], "peers": ["tor1"]}}
        await speaker.report(announcements=by_bgp)
        await user.until(lambda: says("Announcing"), "it is reported", 20.0)


async def said_of_service(user: User) -> Body:
    body = await user.get(SERVICES, "web", "default")
    conditions = body["status"].get("conditions", []) if body is not None else []
    return next((one for one in conditions if one["type"] == "berth.dev/Announced"), {})


async def test_the_service_says_who_announces_it_and_why_nobody_does(user: User) -> None:
    await user.client.create(L2ADVERTISEMENTS, {"metadata": {"name": "ad"}, "spec": {}})
    async with settled(user, "node-a", "node-b") as (speaker, _):

        async def says(text: str) -> bool:
            return text in (await said_of_service(user)).get("message", "")

        await speaker.report(announcements={"192.0.2.10": {"protocols": ["Layer2"], "interfaces": ["eth0"]}})
        await user.until(lambda: says("192.0.2.10: announced, Layer2 on node-a"), "it is announced")
        writes = user.server.counters.total(verb="patch", resource="services/status")
        assert writes == 2, "one with the address, one with who announces it"
        assert await user.events("web") == ["Allocated"]
        cause = {"address": "192.0.2.10", "reason": "NoReadyEndpoint", "message": "no pod is ready"}
        await speaker.report(unannounced=[cause])
        await user.until(lambda: says("No node announces the address: no pod is ready"), "it is not", 20.0)
        assert (await said_of_service(user))["reason"] == "NoReadyEndpoint"
        await user.until_event("web", "NotAnnounced")


async def test_what_many_nodes_announce_is_counted_in_a_few_writes(user: User) -> None:
    nodes = [f"node-{number:02}" for number in range(12)]
    by_bgp = {"192.0.2.10": {"protocols": ["BGP"], "peers": ["tor1"]}}
    async with settled(user, *nodes) as speakers:
        for speaker in speakers:
            await speaker.report(announcements=by_bgp)
            await asyncio.sleep(0.1)  # they report in turn

        async def is_told() -> bool:
            status = (await user.allocations())["v4-192-0-2-10"].get("status", {})
            return bool(status.get("announcerCount") == len(nodes))

        await user.until(is_told, "all are counted")
        status = (await user.allocations())["v4-192-0-2-10"]["status"]
        assert status["announcedBy"] == nodes[:10]
        assert status["firstAnnounced"]
        assert status["conditions"][0]["message"].endswith("node-09 (BGP to tor1) and 2 more")
        assert user.server.counters.total(verb="patch", resource="ipallocations.berth.dev/status") <= 3


async def test_the_record_follows_who_announces_on_layer_2(user: User) -> None:
    on_layer2 = {"192.0.2.10": {"protocols": ["Layer2"], "interfaces": ["eth0"]}}
    async with settled(user, "node-a", "node-b") as (one, other):

        async def is_by(*nodes: str) -> bool:
            status = (await user.allocations())["v4-192-0-2-10"].get("status", {})
            return bool(status.get("announcedBy") == list(nodes))

        await one.report(announcements=on_layer2)
        await user.until(lambda: is_by("node-a"), "node-a announces")
        for new, old in ((other, one), (one, other)):
            await new.report(announcements=on_layer2)
            await old.report(announcements={})
            await user.until(lambda new=new: is_by(new.node), f"{new.node} announces")
        await one.report(announcements={})
        await other.report(announcements=on_layer2)
        await user.until_event("web", "Moved")


async def condition_of(user: User, resource: Resource, name: str, kind: str) -> Body:
    body = await user.get(resource, name)
    conditions = body.get("status", {}).get("conditions", []) if body is not None else []
    return next((one for one in conditions if one["type"] == kind), {})


async def until_ready(user: User, resource: Resource, name: str, reason: str, kind: str = "Ready") -> Body:
    async def is_so() -> bool:
        return (await condition_of(user, resource, name, kind)).get("reason") == reason

    await user.until(is_so, f"{resource.kind} {name} says {reason}", 20.0)
    return await condition_of(user, resource, name, kind)


async def test_bgp_peers_and_advertisements_say_what_speakers_report(user: User) -> None:
    spec = {"myASN": 64512, "peerASN": 64513, "peerAddress": "192.0.2.1"}
    await user.client.create(BGPPEERS, {"metadata": {"name": "tor1"}, "spec": spec})
    await user.client.create(BGPADVERTISEMENTS, {"metadata": {"name": "ad"}, "spec": {"peers": ["tor1", "tor2"]}})
    down = {"peer": "tor1", "address": "192.0.2.1", "state": "Active", "lastError": "hold timer expired"}
    up = {**down, "state": "Established"}
    async with allocating(user.server), speaking(user, "node-a", "node-b") as (one, other):
        assert "tor2" in (await until_ready(user, BGPADVERTISEMENTS, "ad", "UnknownPeer", "Degraded"))["message"]
        await until_ready(user, BGPPEERS, "tor1", "NoSessions")
        fault = {"object": "BGPAdvertisement/ad", "reason": "UnknownCommunity", "message": "no Community defines blue"}
        await one.report(bgpSessions=[up], faults=[fault])
        await other.report(bgpSessions=[down])
        message = (await until_ready(user, BGPPEERS, "tor1", "SomeSessionsDown"))["message"]
        assert message == "1 of 2 sessions are up. node-b: hold timer expired"
        body = await user.get(BGPPEERS, "tor1")
        assert body is not None
        assert body["status"]["sessions"] == {"wanted": 2, "established": 1, "summary": "1/2"}
        await user.client.create(BGPPEERS, {"metadata": {"name": "tor2"}, "spec": {**spec, "peerAddress": "192.0.2.2"}})
        degraded = await until_ready(user, BGPADVERTISEMENTS, "ad", "UnknownCommunity", "Degraded")
        assert "blue" in degraded["message"]
        await one.report(bgpSessions=[up])
        await until_ready(user, BGPADVERTISEMENTS, "ad", "Valid", "Degraded")
        assert (await condition_of(user, BGPADVERTISEMENTS, "ad", "Ready"))["status"] == "True"
        await other.report(bgpSessions=[up])
        await until_ready(user, BGPPEERS, "tor1", "SessionsUp")
        await user.until_event("tor1", "SessionsUp")
        assert (await user.events("tor1"))[0] == "SomeSessionsDown"
        assert set(await user.events("ad")) == {"UnknownPeer", "UnknownCommunity", "Valid"}


async def test_a_session_that_flaps_is_no_storm_of_writes(user: User) -> None:
    spec = {"myASN": 64512, "peerASN": 64513, "peerAddress": "192.0.2.1"}
    await user.client.create(BGPPEERS, {"metadata": {"name": "tor1"}, "spec": spec})
    async with allocating(user.server), speaking(user, "node-a") as (one,):
        await until_ready(user, BGPPEERS, "tor1", "NoSessions")
        states, versions, until = ("Established", "Idle"), set(), time.monotonic() + 4.0
        while time.monotonic() < until:
            states = states[::-1]
            await one.report(bgpSessions=[{"peer": "tor1", "state": states[0]}])
            body = await user.get(BGPPEERS, "tor1")
            assert body is not None
            versions.add(body["metadata"]["resourceVersion"])
            await asyncio.sleep(0.2)
        assert len(versions) <= 4  # the one at the start, the rest of the 3 at once, one that came due


async def test_the_record_names_no_node_that_is_dead(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barrierloop, "SILENT_SECONDS", 1.0)
    monkeypatch.setattr(barrierloop, "IDLE_POLL_SECONDS", 0.2)
    await user.client.create(L2ADVERTISEMENTS, {"metadata": {"name": "ad"}, "spec": {}})
    on_layer2 = {"192.0.2.10": {"protocols": ["Layer2"], "interfaces": ["eth0"]}}
    async with settled(user, "node-a", "node-b") as (dead, heir):

        async def is_by(*nodes: str) -> bool:
            status = (await user.allocations())["v4-192-0-2-10"].get("status", {})
            return bool(status.get("announcedBy", []) == list(nodes))

        await dead.report(announcements=on_layer2)
        since = {"lastTransitionTime": "2026-01-01T00:00:00Z"}
        ready = {"type": "Ready", "status": "True", "reason": "Serving", **since}
        promise = {"type": "PromisesFencing", "status": "True", "reason": "PromiseInForce", **since}
        await dead.patch({"conditions": [ready, promise]})
        await user.until(lambda: is_by("node-a"), "node-a announces")
        dead.frozen = True
        await heir.report(announcements=on_layer2)
        await user.until(lambda: is_by("node-b"), "node-b alone announces")
        status = (await user.allocations())["v4-192-0-2-10"]["status"]
        assert "node-a announced it, too, and is silent" in status["conditions"][0]["message"]
        body = await user.get(SPEAKERS, "node-a")
        assert body is not None
        told = {one["type"]: (one["status"], one["reason"]) for one in body["status"]["conditions"]}
        assert told == {"Ready": ("Unknown", "NodeSilent"), "PromisesFencing": ("True", "PromiseInForce")}
        await user.until_event("node-a", "NodeSilent")
        await dead.patch({"conditions": [ready, promise]})  # it is back before its Lease is read again
        await asyncio.sleep(1.5)
        body = await user.get(SPEAKERS, "node-a")
        assert body is not None
        assert body["status"]["conditions"][0]["status"] == "True", "nobody contradicts it"
        dead.frozen = False
        await user.until(lambda: is_by("node-a", "node-b"), "node-a is believed again")
