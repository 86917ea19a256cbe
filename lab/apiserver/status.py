"""Failures as the API tells them: a Status object with code, reason, message and causes.

Does not decide when to fail: whoever finds the fault raises a `StatusError` made here.
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
    """The failure that a ready Status body tells."""
    return StatusError(body["code"], body.get("reason", ""), body["message"], body.get("details"))


def details_of(group: str, kind: str, name: str = "") -> dict[str, Any]:
    """The `details` of a Status; empty parts are left out, as Kubernetes does."""
    parts = {"name": name, "group": group, "kind": kind}
    return {key: value for key, value in parts.items() if value}


def qualified(name: str, group: str) -> str:
    return f"{name}.{group}" if group else name


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(group: str, plural: str, name: str, why: str) -> StatusError:
    subject = qualified(plural, group) + (f' "{name}"' if name else "")
    return StatusError(403, "Forbidden", f"{subject} is forbidden: {why}", details_of(group, plural, name))


def not_found(group: str, plural: str, name: str) -> StatusError:
    message = f'{qualified(plural, group)} "{name}" not found'
    return StatusError(404, "NotFound", message, details_of(group, plural, name))


def already_exists(group: str, plural: str, name: str) -> StatusError:
    message = f'{qualified(plural, group)} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, details_of(group, plural, name))


def conflict(group: str, plural: str, name: str, why: str) -> StatusError:
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return StatusError(409, "Conflict", message, details_of(group, plural, name))


def modified(group: str, plural: str, name: str) -> StatusError:
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
    return StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def unsupported_media_type(accepted: Iterable[str]) -> StatusError:
    media = ", ".join(accepted)
    message = f"the body of the request was in an unknown format - accepted media types include: {media}"
    return StatusError(415, "UnsupportedMediaType", message)


def expired(message: str) -> StatusError:
    return StatusError(410, "Expired", message)


def too_old(requested: int, oldest: int) -> StatusError:
    return expired(f"too old resource version: {requested} ({oldest})")


def from_the_future(requested: int, current: int) -> StatusError:
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
