"""The service accounts have the rights listed here and no others: a right more is a change of this file."""

from collections import defaultdict
from typing import Any

import pytest

from tests.charts.rendered import one, rendered

Rights = dict[str, set[str]]

FOLLOW = {"list", "watch"}

ALLOCATOR_EVERYWHERE: Rights = {
    "services": FOLLOW | {"get"},
    "services/status": {"patch"},
    "namespaces": FOLLOW,
    "nodes": FOLLOW | {"get"},
    "endpointslices.discovery.k8s.io": FOLLOW,
    "servicecidrs.networking.k8s.io": FOLLOW,
    "events": {"create", "patch"},
    "ippools.berth.dev": FOLLOW,
    "ippools.berth.dev/status": {"patch"},
    "l2advertisements.berth.dev": FOLLOW,
    "l2advertisements.berth.dev/status": {"patch"},
    "bgpadvertisements.berth.dev": FOLLOW,
    "bgpadvertisements.berth.dev/status": {"patch"},
    "bgppeers.berth.dev": FOLLOW,
    "bgppeers.berth.dev/status": {"patch"},
    "bfdprofiles.berth.dev": FOLLOW,
    "bfdprofiles.berth.dev/status": {"patch"},
    "communities.berth.dev": FOLLOW,
    "communities.berth.dev/status": {"patch"},
    "ipallocations.berth.dev": FOLLOW | {"get", "create", "patch", "delete"},
    "ipallocations.berth.dev/status": {"patch"},
    "speakers.berth.dev": FOLLOW,
    "speakers.berth.dev/status": {"patch"},
    "releaseconfirmations.berth.dev": FOLLOW,
    "speakerreports.berth.dev": FOLLOW,
    "departedspeakers.berth.dev": FOLLOW | {"create", "delete"},
}
ALLOCATOR_AT_HOME: Rights = {
    "leases.coordination.k8s.io": {"list", "create"},
    "leases.coordination.k8s.io berth-allocator": {"get", "patch"},
    "secrets": {"create"},  # of one name: test_the_allocator_makes_its_own_secret_and_no_other
    "secrets berth-heartbeat": {"get"},
}
SPEAKER_EVERYWHERE: Rights = {
    "nodes": FOLLOW | {"get"},
    "endpointslices.discovery.k8s.io": FOLLOW,
    "ippools.berth.dev": FOLLOW,
    "l2advertisements.berth.dev": FOLLOW,
    "bgpadvertisements.berth.dev": FOLLOW,
    "bgppeers.berth.dev": FOLLOW,
    "bfdprofiles.berth.dev": FOLLOW,
    "communities.berth.dev": FOLLOW,
    "ipallocations.berth.dev": FOLLOW,
    "speakers.berth.dev": FOLLOW | {"get", "create"},
    "speakers.berth.dev/status": {"patch"},
    "releaseconfirmations.berth.dev": {"get", "create"},
    "releaseconfirmations.berth.dev/status": {"patch"},
    "speakerreports.berth.dev": {"get", "create", "delete"},
    "speakerreports.berth.dev/status": {"patch"},
}
SPEAKER_AT_HOME: Rights = {
    "leases.coordination.k8s.io": FOLLOW | {"get", "create", "patch"},
    "secrets berth-bgp": FOLLOW,
}


OF_PEOPLE = ("berth-view", "berth-edit")
"""Bound to no program (test_components)."""


def rights(role: dict[str, Any]) -> Rights:
    """Verbs by `resource.group/subresource`, and by the object's name where the rule names one."""
    found: Rights = defaultdict(set)
    for rule in role["rules"]:
        for resource in rule["resources"]:
            for group in rule["apiGroups"]:
                name, slash, subresource = resource.partition("/")
                key = f"{name}{'.' if group else ''}{group}{slash}{subresource}"
                for object_name in rule.get("resourceNames", [""]):
                    found[f"{key} {object_name}".strip()] |= set(rule["verbs"])
    return dict(found)


@pytest.mark.parametrize(
    ("kind", "component", "expected"),
    [
        ("ClusterRole", "allocator", ALLOCATOR_EVERYWHERE),
        ("Role", "allocator", ALLOCATOR_AT_HOME),
        ("ClusterRole", "speaker", SPEAKER_EVERYWHERE),
        ("Role", "speaker", SPEAKER_AT_HOME),
    ],
)
def test_rights_are_as_listed(kind: str, component: str, expected: Rights) -> None:
    assert rights(one(rendered(), kind, f"berth-{component}")) == expected


def test_there_are_no_other_roles_and_each_is_bound_to_its_own_account() -> None:
    objects = rendered()
    roles = [each for each in objects if each["kind"].endswith("Role") and each["metadata"]["name"] not in OF_PEOPLE]
    assert len(roles) == 4
    for role in roles:
        binding = one(objects, f"{role['kind']}Binding", role["metadata"]["name"])
        assert binding["roleRef"]["kind"] == role["kind"]
        assert [subject["name"] for subject in binding["subjects"]] == [role["metadata"]["name"]]


def test_speakers_read_no_secret_but_those_that_are_named() -> None:
    assert secrets_of_speakers(None) == {"secrets berth-bgp": FOLLOW}
    named = secrets_of_speakers(["tor1", "berth-bgp"])
    assert named == {"secrets tor1": FOLLOW, "secrets berth-bgp": FOLLOW}
    assert secrets_of_speakers([]) == {}


def secrets_of_speakers(named: list[str] | None) -> Rights:
    values = {} if named is None else {"speaker": {"bgp": {"passwordSecrets": named}}}
    held = rights(one(rendered(values), "Role", "berth-speaker"))
    return {what: verbs for what, verbs in held.items() if what.startswith("secrets")}


def test_nothing_is_granted_by_wildcard_and_no_secrets_outside_the_own_namespace() -> None:
    programs = (each for each in rendered() if each["metadata"]["name"] not in OF_PEOPLE)
    for role in (each for each in programs if each["kind"].endswith("Role")):
        for rule in role["rules"]:
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
            assert not {"pods", "configmaps"} & set(rule["resources"])
            assert "secrets" not in rule["resources"] or role["kind"] == "Role"
            assert "secrets" not in rule["resources"] or rule["verbs"] == ["create"] or rule["resourceNames"]
            assert not {"escalate", "bind", "impersonate", "deletecollection"} & set(rule["verbs"])


def test_nobody_may_change_the_spec_of_a_service() -> None:
    for role in (each for each in rendered() if each["kind"].endswith("Role")):
        assert rights(role).get("services", set()) <= {"get", "list", "watch"}


def test_speakers_read_no_services() -> None:
    for kind in ("ClusterRole", "Role"):
        assert not any(name.startswith("services") for name in rights(one(rendered(), kind, "berth-speaker")))
