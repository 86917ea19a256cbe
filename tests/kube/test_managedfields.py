"""Who wrote a field, by managedFields as API servers keep them (the shape of v1.36)."""

import json
from typing import Any

from kube.managedfields import writer_of

CREATED = {"manager": "kubectl-create", "operation": "Update", "time": "2026-11-01T10:00:00Z"}
CREATED |= {"fieldsV1": {"f:spec": {"f:ports": {}}}}  # type: ignore[dict-item]
OURS = {"manager": "berth-allocator", "operation": "Update", "subresource": "status", "time": "2026-11-01T10:00:01Z"}
INGRESS = {"f:status": {"f:loadBalancer": {"f:ingress": {}}}}
CONDITION = {"f:status": {"f:conditions": {'k:{"type":"berth.dev/Allocated"}': {".": {}}}}}
THEIRS = {"manager": "k3s", "operation": "Update", "subresource": "status", "time": "2026-11-01T10:00:00Z"}


def named(*entries: dict[str, Any], besides: str = "berth-allocator") -> str:
    raw = json.dumps({"metadata": {"name": "web", "managedFields": list(entries)}}).encode()
    return writer_of(raw, "status", "loadBalancer", subresource="status", besides=besides)


def test_the_manager_of_the_field_wrote_it() -> None:
    latest = {**THEIRS, "manager": "scaler", "time": "2026-11-01T11:00:00Z", "fieldsV1": CONDITION}
    assert named(CREATED, {**OURS, "fieldsV1": CONDITION}, {**THEIRS, "fieldsV1": INGRESS}, latest) == "k3s"


def test_who_asks_is_not_meant() -> None:
    assert named(CREATED, {**OURS, "fieldsV1": INGRESS}) == ""
    assert named(CREATED, {**OURS, "fieldsV1": INGRESS}, {**THEIRS, "fieldsV1": CONDITION}) == "k3s"


def test_without_a_manager_of_the_field_it_is_who_wrote_the_status_last() -> None:
    earlier = {**THEIRS, "manager": "scaler", "time": "2026-11-01T09:00:00Z"}
    assert named(CREATED, earlier, {**THEIRS, "fieldsV1": None}) == "k3s"


def test_strange_entries_and_none_at_all_name_nobody() -> None:
    assert named() == ""
    assert writer_of(b'{"metadata": {}}', "status", subresource="status", besides="") == ""
    assert named({"manager": "x", "fieldsV1": {"f:status": None}}) == ""
    assert len(named({**THEIRS, "manager": "x" * 5000})) == 128
