"""Failures as the API answers them: a Status object with code, reason, message and causes.

Nothing is judged here: the module that finds the fault raises a `StatusError` made here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lab.apiserver.fielderrors import FieldError, invalid_status


class StatusError(Exception):
    """An answer other than success; `body()` is what the client gets."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        *,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after_seconds = retry_after_seconds

    def body(self) -> dict[str, Any]:
        """The Status object."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        return body | {"code": self.code}


def from_body(body: dict[str, Any]) -> StatusError:
    """The failure that a ready Status body describes."""
    return StatusError(body["code"], body.get("reason", ""), body["message"], body.get("details"))


def details_of(group: str, kind: str, name: str = "") -> dict[str, Any]:
    """The `details` of a Status; empty parts are left out, as Kubernetes does."""
    parts = {"name": name, "group": group, "kind": kind}
    return {key: value for key, value in parts.items() if value}


def qualified(name: str, group: str) -> str:
    """A resource or kind with its group, as messages write it: `ippools.berth.dev`."""
    return f"{name}.{group}" if group else name


def bad_request(message: str) -> StatusError:
    """400: the request makes no sense."""
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    """401: credentials that are not good."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(group: str, plural: str, name: str, why: str) -> StatusError:
    """403 about a resource or, with a name, an object."""
    subject = qualified(plural, group) + (f' "{name}"' if name else "")
    return StatusError(403, "Forbidden", f"{subject} is forbidden: {why}", details_of(group, plural, name))


def not_found(group: str, plural: str, name: str) -> StatusError:
    """404 about an object. A path that is not served gets no Status."""
    message = f'{qualified(plural, group)} "{name}" not found'
    return StatusError(404, "NotFound", message, details_of(group, plural, name))


def already_exists(group: str, plural: str, name: str) -> StatusError:
    """409 for a create."""
    message = f'{qualified(plural, group)} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, details_of(group, plural, name))


def conflict(group: str, plural: str, name: str, why: str) -> StatusError:
    """409 for a write whose precondition does not hold."""
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return StatusError(409, "Conflict", message, details_of(group, plural, name))


def modified(group: str, plural: str, name: str) -> StatusError:
    """409 for a write from an older resourceVersion."""
    return conflict(
        group,
        plural,
        name,
        "the object has been modified; please apply your changes to the latest version and try again",
    )


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> StatusError:
    """422 with every cause; the message names each distinct one once."""
    return from_body(invalid_status(group, kind, name, errors))


def rejected_patch() -> StatusError:
    """What the server says when a JSON patch does not apply."""
    return StatusError(422, "Invalid", "the server rejected our request due to an error in our request", {})


def method_not_allowed() -> StatusError:
    """405 for a verb that the resource does not have."""
    return StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def unsupported_media_type(accepted: Iterable[str]) -> StatusError:
    """415, with the media types that are taken."""
    media = ", ".join(accepted)
    message = f"the body of the request was in an unknown format - accepted media types include: {media}"
    return StatusError(415, "UnsupportedMediaType", message)


def expired(message: str) -> StatusError:
    """410: the history that is asked for is gone."""
    return StatusError(410, "Expired", message)


def too_old(requested: int, oldest: int) -> StatusError:
    """410 for a watch from a version whose history is gone; `oldest` could still be served."""
    return expired(f"too old resource version: {requested} ({oldest})")


def from_the_future(requested: int, current: int) -> StatusError:
    """504 for a version that is not reached yet; the client shall try again."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return StatusError(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {requested}, current: {current}",
        {"causes": [cause], "retryAfterSeconds": 1},
        retry_after_seconds=1,
    )


def success(group: str, plural: str, name: str, uid: str) -> dict[str, Any]:
    """The Status that answers a delete when the object is gone at once."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details_of(group, plural, name) | {"uid": uid},
    }
