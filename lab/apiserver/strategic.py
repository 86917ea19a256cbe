"""Strategic merge patch: what kubectl patch and kubectl apply send for built-in kinds.

Merge patch (RFC 7386) and JSON patch (RFC 6902) are not here.
"""

from __future__ import annotations

from typing import Any

from lab.apiserver.mergeschema import MergeNode


class StrategicPatchError(ValueError):
    """The patch is not one that can be applied: the caller answers 400 with this message."""


def strategic_merge(live: dict[str, Any], patch: dict[str, Any], schema: MergeNode) -> dict[str, Any]:
    """The object with the patch applied. Neither argument is changed; the answer may share parts with them."""
    raise NotImplementedError
