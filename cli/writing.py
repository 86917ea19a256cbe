"""The one write of a command that changes something: what is refused is told with what would have been written."""

from typing import Any

from cli.failure import Failed
from kube.errors import Conflict, Forbidden, Invalid, NotFound
from kube.io.client import Client
from kube.resource import Resource


async def write(client: Client, res: Resource, name: str, body: dict[str, Any], namespace: str | None = None) -> None:
    """A merge patch. Raises Failed where it is refused, ApiError where there is no answer."""
    what = f"{res.kind} {namespace}/{name}" if namespace else f"{res.kind} {name}"
    try:
        await client.merge_patch(res, name, body, namespace=namespace)
    except Forbidden as error:
        raise Failed(f"you may not patch {res.plural}, so nothing was changed: {error.message}") from error
    except NotFound as error:
        raise Failed(f"there is no {what} any more, so nothing was changed") from error
    except (Conflict, Invalid) as error:
        raise Failed(f"{what} was not changed: {error.message}. Was it deleted and made anew? Try again") from error
