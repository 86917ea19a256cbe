"""`berth uninstall`: what holds Services, and letting go of it only when nothing of Berth can run any more."""

import argparse
import json
from typing import Any

import pytest

from cli.failure import Failed
from cli.uninstall.command import uninstalled
from crds.names import ALLOCATOR_LEASE
from kube.resource import IPALLOCATIONS, LEASES, SERVICES, SPEAKERS
from tests.cli.setups import BERTH, NODES_THERE, Setup

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


def options(**given: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"berth_namespace": BERTH, "release": False, "finalizer": None, **given})


async def finish(setup: Setup) -> None:
    """As when every program has stopped cleanly."""
    await setup.client.merge_patch(LEASES, ALLOCATOR_LEASE, {"spec": {"holderIdentity": ""}}, namespace=BERTH)
    for node in NODES_THERE:
        await setup.status(SPEAKERS, node, {"goodbye": True})


async def test_what_is_held_is_named_with_what_to_do(setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    assert await uninstalled(setup.client, options()) == 1
    said = capsys.readouterr().out
    assert "svc/default/web (192.0.2." in said
    assert "kubectl get ipallocations.berth.dev" in said


async def test_nothing_is_let_go_while_an_allocator_or_a_speaker_may_run(setup: Setup) -> None:
    await setup.client.merge_patch(LEASES, ALLOCATOR_LEASE, {"spec": {"holderIdentity": "one"}}, namespace=BERTH)
    with pytest.raises(Failed, match="nothing was changed") as refused:
        await uninstalled(setup.client, options(release=True))
    assert "an allocator leads" in str(refused.value)
    for node in NODES_THERE:
        assert f"kubectl delete speaker.berth.dev {node}" in str(refused.value)
    assert json.loads(await setup.client.get(SERVICES, "web", "default"))["metadata"]["finalizers"]


async def test_one_speaker_that_did_not_say_goodbye_is_enough(setup: Setup) -> None:
    await finish(setup)
    await setup.status(SPEAKERS, NODES_THERE[1], {"goodbye": False})
    with pytest.raises(Failed, match=NODES_THERE[1]):
        await uninstalled(setup.client, options(release=True))


async def test_what_berth_left_is_let_go(setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    await finish(setup)
    assert await uninstalled(setup.client, options(release=True)) == 0
    service = json.loads(await setup.client.get(SERVICES, "web", "default"))
    assert not service["metadata"].get("finalizers")
    assert not service["status"].get("conditions")
    assert not service["status"]["loadBalancer"].get("ingress")
    assert (await setup.client.list(IPALLOCATIONS))[0] == []
    capsys.readouterr()
    assert await uninstalled(setup.client, options()) == 0
    assert "Berth may go" in capsys.readouterr().out
