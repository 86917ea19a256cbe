"""ValidatingAdmissionPolicy."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from lab.apiserver.access.admissionrequest import AdmissionRequest, Operation
from lab.apiserver.access.policy import CompiledPolicy, review
from lab.apiserver.access.policyrules import default_policy, validate_policy
from tests.lab.apiserver.replay import steps_of

STEPS = steps_of("access-control")
CREATED = next(step for step in STEPS if step["request"]["path"].endswith("/validatingadmissionpolicies"))
BINDING = next(step for step in STEPS if step["request"]["path"].endswith("policybindings"))["request"]["body"]
NODE = "authentication.kubernetes.io/node-name"
REQUEST = AdmissionRequest(
    Operation.UPDATE,
    group="example.dev",
    version="v1",
    resource="widgets",
    kind="Widget",
    subresource="status",
    name="n1",
    username="system:serviceaccount:default:speaker",
    extra={NODE: ("n2",)},
    object={"metadata": {"name": "n1"}, "status": {"used": 2}},
    old_object={"metadata": {"name": "n1"}},
)


def policy(**spec: Any) -> dict[str, Any]:
    made: dict[str, Any] = copy.deepcopy(CREATED["request"]["body"])
    made["spec"].update(spec)
    default_policy(made)
    return made


def judge(request: AdmissionRequest = REQUEST, binding: dict[str, Any] | None = None, **spec: Any) -> Any:
    return review(request, [CompiledPolicy(policy(**spec))], [BINDING if binding is None else binding])


def test_defaults_are_those_of_a_real_server() -> None:
    assert policy()["spec"] == CREATED["response"]["body"]["spec"]
    assert validate_policy(policy()) == []


def test_a_refusal_is_word_for_word_that_of_a_real_server() -> None:
    recorded = next(step for step in STEPS if step["note"].startswith("another node"))["response"]["body"]
    assert judge().denied == recorded


def test_what_the_policy_allows_or_does_not_take_in_passes() -> None:
    assert judge(replace(REQUEST, extra={NODE: ("n1",)})).denied is None
    assert judge(replace(REQUEST, username="somebody")).denied is None  # match condition
    assert judge(replace(REQUEST, subresource="")).denied is None
    assert judge(replace(REQUEST, operation=Operation.CREATE)).denied is None
    assert review(REQUEST, [CompiledPolicy(policy())], []).denied is None


def test_reading_what_the_request_lacks_is_an_error_that_the_failure_policy_decides() -> None:
    bare = replace(REQUEST, extra={})
    assert "resulted in error: no such key: extra" in judge(bare).denied["message"]
    assert judge(bare, failurePolicy="Ignore").denied is None


def test_a_binding_that_warns_lets_pass_and_says_so() -> None:
    binding = {"metadata": {"name": "b"}, "spec": {"policyName": "own-node", "validationActions": ["Warn"]}}
    verdict = judge(binding=binding)
    assert verdict.denied is None
    assert verdict.warnings == (
        "Validation failed for ValidatingAdmissionPolicy 'own-node' with binding 'b': "
        "a speaker may report for its own node only",
    )


def test_variables_messages_and_reasons() -> None:
    denied = judge(
        variables=[
            {"name": "limit", "expression": "1"},
            {"name": "over", "expression": "object.status.used - variables.limit"},
        ],
        validations=[
            {
                "expression": "variables.over <= 0",
                "messageExpression": "'over by ' + string(variables.over)",
                "reason": "Forbidden",
            }
        ],
    ).denied
    assert denied["message"].endswith("denied request: over by 1")
    assert (denied["code"], denied["reason"]) == (403, "Forbidden")


def test_without_a_message_the_expression_is_shown() -> None:
    denied = judge(validations=[{"expression": "object.status.used < 1"}]).denied
    assert denied["message"].endswith("denied request: failed expression: object.status.used < 1")


@pytest.mark.parametrize(
    ("resources", "taken_in"),
    [(["*/*"], True), (["widgets/*"], True), (["*/status"], True), (["widgets"], False), (["*"], False)],
)
def test_resource_rules_name_subresources(resources: list[str], taken_in: bool) -> None:
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": resources}
    assert (judge(matchConstraints={"resourceRules": [rule]}).denied is not None) is taken_in


def test_selectors_narrow_a_policy() -> None:
    constraints = policy()["spec"]["matchConstraints"] | {"objectSelector": {"matchLabels": {"a": "b"}}}
    assert judge(matchConstraints=constraints).denied is None
    labelled = replace(REQUEST, object={"metadata": {"name": "n1", "labels": {"a": "b"}}})
    assert judge(labelled, matchConstraints=constraints).denied is not None


def test_an_expression_that_does_not_compile_is_named() -> None:
    found = [str(error) for error in validate_policy(policy(validations=[{"expression": "objct.x == 1"}]))]
    assert found[0].startswith(
        'spec.validations[0].expression: Invalid value: "objct.x == 1": compilation failed: ERROR'
    )
    found = [str(error) for error in validate_policy(policy(validations=[{"expression": "request.nam == ''"}]))]
    assert "undefined field 'nam'" in found[0]
