"""An allocator that dies after any of its writes, and the next one that goes on from there."""

from collections.abc import Callable

import pytest

from kube.objects import ServiceKey
from tests.allocator.build import pool, pools, service_body
from tests.allocator.fakeapi import Allocator, Body, Died, FakeApi

POOLS = pools(pool("edge", "192.0.2.10-192.0.2.12", "2001:db8::10-2001:db8::12"))
WEB, OTHER, DUAL = (ServiceKey("default", name) for name in ("web", "other", "dual"))
Story = Callable[[FakeApi], object]


def retype(body: Body) -> None:
    body["spec"]["type"] = "ClusterIP"


def ask(ip: str) -> Callable[[Body], None]:
    def change(body: Body) -> None:
        body["metadata"]["annotations"]["berth.dev/ips"] = ip

    return change


def beginning(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    api.put_service(service_body("dual", families=["IPv4", "IPv6"], policy="RequireDualStack"))


STORIES: dict[str, list[Story]] = {
    "create": [beginning],
    "delete": [beginning, lambda api: api.delete_service(WEB), lambda api: api.delete_service(DUAL)],
    "type change": [beginning, lambda api: api.edit_service(DUAL, retype)],
    "move": [beginning, lambda api: api.edit_service(WEB, ask("192.0.2.12"))],
    "move and delete": [
        beginning,
        lambda api: api.edit_service(WEB, ask("192.0.2.12")),
        lambda api: api.delete_service(WEB),
    ],
    "hand over": [
        beginning,
        lambda api: api.delete_service(WEB),
        lambda api: api.put_service(service_body("other", annotations={"berth.dev/ips": "192.0.2.10"})),
    ],
    "share and part": [
        lambda api: [
            api.put_service(service_body(name, ports=[("TCP", port)], annotations={"berth.dev/sharing-key": "k"}))
            for name, port in (("web", 80), ("other", 443))
        ],
        lambda api: api.delete_service(WEB),
    ],
    "recreated": [
        beginning,
        lambda api: api.services.pop(WEB),
        lambda api: api.put_service(service_body("web")),
    ],
}


def end_state(api: FakeApi) -> tuple[dict[str, list[str]], dict[str, list[str]], dict[str, list[str]]]:
    """What Services show, what is recorded, and which finalizers are left."""
    return (
        {str(key): api.ingress(key) for key in sorted(api.services)},
        {
            body["spec"]["address"]: [holder["uid"] for holder in body["spec"]["holders"]]
            for _, body in sorted(api.allocations.items())
        },
        {str(key): body["metadata"].get("finalizers") or [] for key, body in sorted(api.services.items())},
    )


def play(story: list[Story], die_after: list[int]) -> FakeApi:
    """Each chapter is worked off; the first processes die after that many writes, the last one lives."""
    api, deaths = FakeApi(), list(die_after)
    allocator = Allocator(api, POOLS, die_after=deaths.pop(0) if deaths else None)
    for chapter in story:
        chapter(api)
        while True:
            try:
                allocator.run()
                break
            except Died:
                allocator = Allocator(api, POOLS, die_after=deaths.pop(0) if deaths else None)
    return api


@pytest.mark.parametrize("name", STORIES)
def test_a_death_after_any_write_changes_nothing_in_the_end(name: str) -> None:
    undisturbed = play(STORIES[name], [])
    for write in range(1, len(undisturbed.log) + 1):
        disturbed = play(STORIES[name], [write])
        assert end_state(disturbed) == end_state(undisturbed), f"died after write {write}: {undisturbed.log[write - 1]}"


@pytest.mark.parametrize("name", STORIES)
def test_dying_after_every_single_write_still_gets_there(name: str) -> None:
    undisturbed = play(STORIES[name], [])
    assert end_state(play(STORIES[name], [1] * 100)) == end_state(undisturbed)
    assert end_state(play(STORIES[name], [2] * 100)) == end_state(undisturbed)


def test_the_stories_end_as_they_should() -> None:
    shown, recorded, finalizers = end_state(play(STORIES["hand over"], []))
    assert shown["default/other"] == ["192.0.2.10"]
    assert "default/web" not in shown
    assert len(recorded) == 3
    assert all(len(names) == 1 for names in finalizers.values())
    assert end_state(play(STORIES["delete"], [])) == ({}, {}, {})
