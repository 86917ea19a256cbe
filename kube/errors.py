"""What an API server refuses (API conventions, "Response Status Kind"), as one exception class per answer that matters.

    ApiError
      Unauthorized 401   Forbidden 403   NotFound 404   Conflict 409 > AlreadyExists
      Gone 410   Invalid 422   TooManyRequests 429   ServerError 5xx
      Unreachable (no answer at all: code 0)

Parses answers, sends nothing. Retrying is the caller's business, except where kube.io.client says it retries.
"""

from collections.abc import Mapping

import msgspec

from kube.decoding import decoder

MOST_RETRY_AFTER_SECONDS = 60.0
"""For so long an answer can ask to wait. A policy or a proxy may say any number: nothing stands still for it."""


class StatusCause(msgspec.Struct, frozen=True):
    """One entry of `details.causes`: what is wrong with which field."""

    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(msgspec.Struct, frozen=True, rename="camel"):
    """`details` of a Status: the object it is about, and the causes."""

    name: str = ""
    group: str = ""
    kind: str = ""
    uid: str = ""
    causes: tuple[StatusCause, ...] | None = ()
    retry_after_seconds: int = 0


class Status(msgspec.Struct, frozen=True, rename="camel"):
    """meta/v1 Status, as far as it is used."""

    kind: str = ""
    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None


class ApiError(Exception):
    """A request that did not succeed. `code` is the HTTP code, 0 when there was no answer."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: StatusDetails | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(code, reason, message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or StatusDetails()
        self.retry_after_seconds = (
            None if retry_after_seconds is None else min(retry_after_seconds, MOST_RETRY_AFTER_SECONDS)
        )

    def __str__(self) -> str:
        return f"{self.code} {self.reason}: {self.message}"

    @property
    def causes(self) -> tuple[StatusCause, ...]:
        """Which fields are at fault, as the API server names them."""
        return self.details.causes or ()


class Unauthorized(ApiError):
    """401: the credentials were not accepted, also not after they were read again."""


class Forbidden(ApiError):
    """403: RBAC, or an admission plugin, says no."""


class NotFound(ApiError):
    """404: no such object, or no such resource (see `is_unknown_resource`)."""

    @property
    def is_unknown_resource(self) -> bool:
        """The API server does not serve this path at all: a CRD that is not installed. It answers plain text."""
        return self.reason == "UnknownPath"


class Conflict(ApiError):
    """409: the resourceVersion or a delete precondition does not match."""


class AlreadyExists(Conflict):
    """409 on create: somebody has that name."""


class Gone(ApiError):
    """410: the resourceVersion or continue token is too old. List again."""


class Invalid(ApiError):
    """422: the object is refused; also a merge patch that names another uid than the object's."""


class TooManyRequests(ApiError):
    """429: priority and fairness, or an eviction that must wait."""


class ServerError(ApiError):
    """5xx."""


class Unreachable(ApiError):
    """No answer: refused, reset, name not resolved, TLS refused, or not in time. It may have taken effect."""


_BY_CODE: Mapping[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}
_decode_status = decoder(Status)


def error_from_response(code: int, body: bytes, retry_after_seconds: float | None = None, path: str = "") -> ApiError:
    """The exception for an answer outside 2xx, whatever its body is. `path`: what was asked for.

    Not everything between us and an API server speaks Status: unknown paths are plain text, proxies send HTML.
    """
    try:
        status = _decode_status(body)
    except ValueError:
        status = Status()
    if status.kind != "Status":
        return _error_without_status(code, body, retry_after_seconds, path)
    return error_from_status(status, code, retry_after_seconds)


def error_from_status(status: Status, code: int, retry_after_seconds: float | None = None) -> ApiError:
    """The exception for a Status; `code` is used when the Status carries none."""
    code = status.code or code
    if retry_after_seconds is None and status.details is not None and status.details.retry_after_seconds > 0:
        retry_after_seconds = float(status.details.retry_after_seconds)
    error = AlreadyExists if status.reason == "AlreadyExists" else _class_of(code)
    return error(code, status.reason, status.message, status.details, retry_after_seconds)


def _error_without_status(code: int, body: bytes, retry_after_seconds: float | None, path: str) -> ApiError:
    text = body[:500].decode(errors="replace").strip()
    if code != 404:
        return _class_of(code)(code, "NoStatus", text, None, retry_after_seconds)
    unknown = resource_of(path)
    message = f"the API server knows no {unknown}: is the definition installed?" if unknown else text
    return NotFound(code, "UnknownPath", message, None, retry_after_seconds)


def resource_of(path: str) -> str:
    """The resource that a path of the API is about, as kubectl names it: ippools.berth.dev; empty where it is none.

    Kubernetes API concepts, "Resource URIs": /apis/GROUP/VERSION/[namespaces/NAMESPACE/]PLURAL, and /api/v1/ likewise.
    """
    match path.strip("/").split("/"):
        case ["apis", group, _, "namespaces", _, plural, *_] | ["apis", group, _, plural, *_]:
            return f"{plural}.{group}"
        case ["api", _, "namespaces", _, plural, *_] | ["api", _, plural, *_]:
            return plural
    return ""


def _class_of(code: int) -> type[ApiError]:
    return _BY_CODE.get(code) or (ServerError if code >= 500 else ApiError)


def is_precondition_failure(error: ApiError) -> bool:
    """Whether a write was refused because the object is not the one, or not in the state, that the writer named.

    An API server says that in two ways: 409 for a resourceVersion and for delete preconditions, and 422 "field is
    immutable" at metadata.uid for another uid in a merge patch. NotFound is not one: callers treat "it is gone"
    differently.
    """
    match error:
        case AlreadyExists():
            return False
        case Conflict():
            return True
        case Invalid():
            return {cause.field for cause in error.causes} == {"metadata.uid"}
        case _:
            return False


def is_refused_content(error: ApiError) -> bool:
    """Whether the object as it would be is refused, for what is in it or for its size: the same write fails again.

    Validation and admission say 422. Too large is 413 from the API server, or etcd's own words within a 5xx.
    """
    if isinstance(error, Invalid):
        return not is_precondition_failure(error)
    return error.code == 413 or "request is too large" in error.message
