"""The health checks that docs/gitops has: in Argo CD's language, and in Flux's, on what the programs write.

Argo CD runs Lua 5.1; Debian's package is lua5.1.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from crds.types import KINDS
from lab.apiserver.cel import types
from lab.apiserver.cel.program import Environment

FOLDER = Path(__file__).parents[2] / "docs" / "gitops"
PREFIX = "resource.customizations.health."
WRITTEN_BY_PEOPLE = {"IPPool", "L2Advertisement", "BGPAdvertisement", "BGPPeer", "BFDProfile", "Community"}


def health_checks() -> dict[str, str]:
    data: dict[str, str] = yaml.safe_load((FOLDER / "argocd-cm.yaml").read_text())["data"]
    return {name.removeprefix(PREFIX): script for name, script in data.items()}


def lua(value: Any) -> str:
    """The value as a table; nil for what is null, as Argo CD hands it over."""
    match value:
        case dict():
            return "{" + ", ".join(f"[{json.dumps(name)}] = {lua(one)}" for name, one in value.items()) + "}"
        case list():
            return "{" + ", ".join(map(lua, value)) + "}"
        case None:
            return "nil"
        case bool() | int() | str():
            return json.dumps(value)
        case _:
            raise TypeError(value)


def health(kind: str, **given: Any) -> tuple[str, str]:
    """Status and message."""
    script = health_checks()[kind]
    program = (
        f"obj = {lua(given)}\nlocal function health()\n{script}\nend\n"
        'local found = health()\nprint(found.status)\nprint(found.message or "")\n'
    )
    done = subprocess.run(["lua5.1", "-"], input=program, capture_output=True, text=True, check=True, timeout=10)
    status, message = done.stdout.splitlines()
    return status, message


def condition(kind: str, status: str, reason: str = "Because") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": "said so"}


def ours(*conditions: dict[str, Any], generation: int = 1, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"generation": generation},
        "status": {"observedGeneration": 1, "conditions": list(conditions), **status},
    }


def service(*conditions: dict[str, Any], shown: bool = True, kind: str = "LoadBalancer") -> dict[str, Any]:
    balancer = {"ingress": [{"ip": "192.0.2.10"}]} if shown else {}
    return {"spec": {"type": kind}, "status": {"loadBalancer": balancer, "conditions": list(conditions)}}


def test_every_kind_that_people_write_has_a_check() -> None:
    assert {kind.KIND.kind for kind in KINDS} >= WRITTEN_BY_PEOPLE
    assert set(health_checks()) == {f"berth.dev_{kind}" for kind in WRITTEN_BY_PEOPLE} | {"Service"}


@pytest.mark.lab
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"metadata": {"generation": 1}}, "Progressing"),
        (ours(), "Progressing"),
        (ours(condition("Ready", "True"), generation=2), "Progressing"),
        (ours(condition("Ready", "True")), "Healthy"),
        (ours(condition("Ready", "False")), "Degraded"),
        (ours(condition("Ready", "True"), condition("Degraded", "True", "NoSuchPool")), "Healthy"),
        (ours(condition("Ready", "Unknown")), "Progressing"),
    ],
)
def test_argo_cd_calls_an_object_of_ours_what_its_condition_says(given: dict[str, Any], expected: str) -> None:
    assert health("berth.dev_IPPool", **given)[0] == expected


@pytest.mark.lab
def test_argo_cd_tells_the_reason_also_of_a_part_that_does_not_work() -> None:
    partly = ours(condition("Degraded", "True", "NoSuchPool"), condition("Ready", "True"))
    assert health("berth.dev_L2Advertisement", **partly) == ("Healthy", "NoSuchPool: said so")


ALLOCATED, ANNOUNCED = "berth.dev/Allocated", "berth.dev/Announced"


@pytest.mark.lab
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (service(kind="ClusterIP", shown=False), "Healthy"),
        (service(shown=False), "Progressing"),
        (service(), "Healthy"),  # another load balancer's
        (service(condition(ALLOCATED, "True")), "Progressing"),
        (service(condition(ALLOCATED, "True"), condition(ANNOUNCED, "True")), "Healthy"),
        (service(condition(ALLOCATED, "False"), shown=False), "Degraded"),
        (service(condition(ALLOCATED, "True"), condition(ANNOUNCED, "False", "NoAdvertisement")), "Degraded"),
        (service(condition(ALLOCATED, "True"), condition(ANNOUNCED, "False", "NoReadyEndpoint")), "Progressing"),
    ],
)
def test_argo_cd_calls_a_service_well_only_when_its_address_is_announced(given: dict[str, Any], expected: str) -> None:
    assert health("Service", **given)[0] == expected


FLUX = {
    one["kind"]: one
    for document in yaml.safe_load_all((FOLDER / "flux.yaml").read_text())
    for one in document["spec"].get("healthCheckExprs", ())
}
STATUS = Environment({"status": types.DYN})


def flux(kind: str, status: dict[str, Any]) -> str:
    """As Flux judges: what is neither is on its way."""
    for name in ("current", "failed"):
        if STATUS.compile(FLUX[kind][name]).evaluate({"status": status}):
            return name
    return "in progress"


@pytest.mark.parametrize("kind", sorted(set(FLUX) - {"Service"}))
def test_flux_calls_an_object_of_ours_what_its_condition_says(kind: str) -> None:
    for conditions, expected in (
        ([], "in progress"),
        ([condition("Ready", "True")], "current"),
        ([condition("Degraded", "True"), condition("Ready", "True")], "current"),
        ([condition("Ready", "False")], "failed"),
    ):
        assert flux(kind, {"conditions": conditions}) == expected
    assert flux(kind, {}) == "in progress"


def test_flux_calls_a_service_well_only_when_its_address_is_announced() -> None:
    assert flux("Service", {"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}}) == "in progress"
    assert flux("Service", {"conditions": [condition(ANNOUNCED, "True")]}) == "current"
    assert flux("Service", {"conditions": [condition(ALLOCATED, "False")]}) == "failed"
    assert flux("Service", {"conditions": [condition(ANNOUNCED, "False")]}) == "in progress"
