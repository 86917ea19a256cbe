"""OpenAPI documents: /openapi/v3 for `kubectl explain`, /openapi/v2 for kubectl's patches and field validation.

Built-in kinds come from the Kubernetes schemas that the `kubernetes-validate` package carries, ours from their CRDs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.apiserver.discovery import ApiResource


def v3_index(resources: Sequence[ApiResource]) -> dict[str, Any]:
    """GET /openapi/v3: `{"paths": {"api/v1": {"serverRelativeURL": ...}}}`."""
    raise NotImplementedError


def v3_document(
    group: str, version: str, resources: Sequence[ApiResource], crds: Sequence[dict[str, Any]]
) -> dict[str, Any] | None:
    """GET /openapi/v3/api/v1 (group "") or /openapi/v3/apis/GROUP/VERSION; None when nothing is served there."""
    raise NotImplementedError


def v2_document(resources: Sequence[ApiResource], crds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """GET /openapi/v2 as JSON (Swagger 2.0)."""
    raise NotImplementedError
