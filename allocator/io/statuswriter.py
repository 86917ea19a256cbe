"""Writes one status, and tells what is news in it. Decides nothing."""

from collections.abc import Callable, Sequence
from typing import Any

import structlog

from allocator.notices import Common, Notice, ObjectNotice, of_object
from crds.meta import Condition
from kube.errors import ApiError, NotFound, is_precondition_failure
from kube.io.client import Client
from kube.resource import Resource

log = structlog.get_logger()


class StatusWriter:
    """`notify` receives the notices that are due."""

    def __init__(self, client: Client, notify: Callable[[Notice | ObjectNotice], None]) -> None:
        self._client = client
        self._notify = notify

    async def patch(
        self, resource: Resource, name: str, uid: str, status: dict[str, Any], version: str = ""
    ) -> bytes | None:
        """None when it was not taken. Without resourceVersion (`version`) where nobody else writes it."""
        precondition = {"uid": uid, "resourceVersion": version} if version else {"uid": uid}
        body = {"metadata": precondition, "status": status}
        try:
            return await self._client.merge_patch(resource, name, body, subresource="status")
        except ApiError as error:
            if not isinstance(error, NotFound) and not is_precondition_failure(error):
                log.warning("status not written", kind=resource.kind, name=name, error=str(error))
            return None

    def tell(self, resource: Resource, name: str, before: Sequence[Condition], after: Sequence[Condition]) -> None:
        """An Event for each condition that is news."""
        for notice in of_object(Common(resource.kind, name), before, after):
            self._notify(notice)
