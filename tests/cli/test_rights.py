"""The rights that `berth` asks for are those that the chart gives; those for secure metrics stand once for both."""

import re
from pathlib import Path

import pytest
import yaml

from cli.rights import ALLOCATOR, SPEAKER, WITH_SECURE_METRICS, Right

TEMPLATES = Path(__file__).parent.parent.parent / "charts" / "berth" / "templates"


def rules_of(component: str) -> set[Right]:
    """Of its ClusterRole and Role: without what names single objects, and without what values add."""
    return rules_in((TEMPLATES / component / "rbac.yaml").read_text())


def rules_in(text: str) -> set[Right]:
    text = re.sub(r" *\{\{- (?:with|if include) .*?\{\{- end \}\}\n", "", text, flags=re.DOTALL)
    lines = [line for line in text.splitlines() if "{{" not in line or line.startswith("{{-")]
    found = set()
    for document in yaml.safe_load_all("\n".join(line for line in lines if not line.startswith("{{"))):
        for rule in document.get("rules") or ():
            if "resourceNames" in rule:
                continue
            is_namespaced = document["kind"] == "Role"
            found |= {
                Right(verb, resource, group, is_namespaced)
                for group in rule["apiGroups"]
                for resource in rule["resources"]
                for verb in rule["verbs"]
            }
    return found


@pytest.mark.parametrize(("component", "asked"), [("allocator", ALLOCATOR), ("speaker", SPEAKER)])
def test_the_rights_are_the_charts(component: str, asked: list[Right]) -> None:
    assert set(asked) == rules_of(component)


def test_the_rights_for_secure_metrics_are_the_charts() -> None:
    text = (TEMPLATES / "_helpers.tpl").read_text().partition('{{- define "berth.reviewRules" -}}')[2]
    rules = text.partition("{{- if .Values.metrics.secure }}")[2].partition("{{- end }}")[0]
    assert set(WITH_SECURE_METRICS) == rules_in(f"kind: ClusterRole\nrules:{rules}")
