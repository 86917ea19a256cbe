"""The rules of our CRDs fit the API server's budget for CEL, with room to spare."""

import math

import pytest

from crds.schema import object_schema
from crds.types import KINDS, BerthObject
from tests.crds.celcost import CRD_LIMIT, RULE_LIMIT, rule_cost, schema_costs


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_rule_costs_more_than_half_of_what_a_rule_may(kind: type[BerthObject]) -> None:
    dear = {f"{path}: {rule}": cost for path, rule, cost in schema_costs(object_schema(kind)) if cost > RULE_LIMIT / 2}
    assert not dear


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_all_rules_of_a_kind_fit_its_budget_together(kind: type[BerthObject]) -> None:
    assert sum(cost for _, _, cost in schema_costs(object_schema(kind))) < CRD_LIMIT / 2


def test_a_text_function_on_an_item_of_split_has_no_bound() -> None:
    text = {"type": "string", "maxLength": 10}
    assert rule_cost("self.split('-').all(part, isIP(part))", text) == math.inf
    assert rule_cost("isIP(self.substring(0, self.indexOf('-')))", text) < 50


def test_a_string_without_maxlength_is_as_long_as_a_request() -> None:
    assert rule_cost("self.matches('^[a-z]+$')", {"type": "string"}) > 300_000


def test_rules_below_a_list_count_once_for_each_item_it_may_have() -> None:
    item = {"type": "string", "maxLength": 10, "x-kubernetes-validations": [{"rule": "isIP(self)", "message": "m"}]}
    ((_, _, once),) = schema_costs(item)
    ((_, _, often),) = schema_costs({"type": "array", "maxItems": 100, "items": item})
    assert often == 100 * once
