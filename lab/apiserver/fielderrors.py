"""Field errors in Kubernetes' wording, and the 422 Status that carries them.

Nothing here decides what is wrong with an object: the callers do (schema, CEL, built-in kinds).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class ErrorType(StrEnum):
    """The `reason` of a cause, as in k8s.io/apimachinery field.ErrorType."""

    INVALID = "FieldValueInvalid"
    TYPE_INVALID = "FieldValueTypeInvalid"
    REQUIRED = "FieldValueRequired"
    NOT_SUPPORTED = "FieldValueNotSupported"
    NOT_FOUND = "FieldValueNotFound"
    DUPLICATE = "FieldValueDuplicate"
    FORBIDDEN = "FieldValueForbidden"
    TOO_LONG = "FieldValueTooLong"
    TOO_MANY = "FieldValueTooMany"


_WORDING: Final = {
    ErrorType.INVALID: "Invalid value",
    ErrorType.TYPE_INVALID: "Invalid value",
    ErrorType.REQUIRED: "Required value",
    ErrorType.NOT_SUPPORTED: "Unsupported value",
    ErrorType.NOT_FOUND: "Not found",
    ErrorType.DUPLICATE: "Duplicate value",
    ErrorType.FORBIDDEN: "Forbidden",
    ErrorType.TOO_LONG: "Too long",
    ErrorType.TOO_MANY: "Too many",
}
_WITHOUT_VALUE: Final = {ErrorType.REQUIRED, ErrorType.FORBIDDEN, ErrorType.TOO_LONG}


class _Omitted:
    def __repr__(self) -> str:
        return "OMIT"


OMIT: Final = _Omitted()
"""A bad value that is not shown (objects and lists in CEL errors)."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field; `field` is a path such as `spec.ports[0].port`."""

    type: ErrorType
    field: str
    bad_value: Any = OMIT
    detail: str = ""

    def body(self) -> str:
        """The text without the path: `Invalid value: -1: must be positive`."""
        head = _WORDING[self.type]
        if self.type not in _WITHOUT_VALUE and self.bad_value is not OMIT:
            head = f"{head}: {_shown(self.bad_value)}"
        return f"{head}: {self.detail}" if self.detail else head

    def __str__(self) -> str:
        return f"{self.field}: {self.body()}"

    def cause(self) -> dict[str, str]:
        """The entry of `details.causes`."""
        return {"reason": str(self.type), "message": self.body(), "field": self.field}


def _shown(value: Any) -> str:
    match value:
        case None | bool() | str() | list() | dict():
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        case float() if value.is_integer() and abs(value) < 1e21:
            return str(int(value))
        case _:
            return str(value)


def invalid(field: str, value: Any, detail: str) -> FieldError:
    """`spec.size: Invalid value: -1: <detail>`."""
    return FieldError(ErrorType.INVALID, field, value, detail)


def type_invalid(field: str, value: Any, detail: str) -> FieldError:
    """As `invalid`, with the reason FieldValueTypeInvalid."""
    return FieldError(ErrorType.TYPE_INVALID, field, value, detail)


def required(field: str, detail: str = "") -> FieldError:
    """`spec.x: Required value`."""
    return FieldError(ErrorType.REQUIRED, field, OMIT, detail)


def forbidden(field: str, detail: str) -> FieldError:
    """`spec.x: Forbidden: <detail>`."""
    return FieldError(ErrorType.FORBIDDEN, field, OMIT, detail)


def not_found(field: str, value: Any) -> FieldError:
    """`spec.x: Not found: "value"`."""
    return FieldError(ErrorType.NOT_FOUND, field, value)


def duplicate(field: str, value: Any) -> FieldError:
    """`spec.x[1]: Duplicate value: "value"`."""
    return FieldError(ErrorType.DUPLICATE, field, value)


def unsupported(field: str, value: Any, valid: Sequence[str]) -> FieldError:
    """`spec.x: Unsupported value: "v": supported values: "a", "b"`, in the order given."""
    quoted = ", ".join(json.dumps(each, ensure_ascii=False) for each in valid)
    return FieldError(ErrorType.NOT_SUPPORTED, field, value, f"supported values: {quoted}" if valid else "")


def too_long(field: str, maximum: int) -> FieldError:
    """`spec.x: Too long: may not be more than 253 bytes`."""
    return FieldError(ErrorType.TOO_LONG, field, OMIT, f"may not be more than {maximum} bytes")


def too_many(field: str, actual: int, maximum: int) -> FieldError:
    """`spec.x: Too many: 65: must have at most 64 items`."""
    return FieldError(ErrorType.TOO_MANY, field, actual, f"must have at most {maximum} items")


def aggregate(errors: Iterable[FieldError]) -> str:
    """The errors in one line, each text once; brackets when there are several."""
    texts = list(dict.fromkeys(str(error) for error in errors))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def invalid_status(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> dict[str, Any]:
    """The body of a 422: `Widget.example.dev "a" is invalid: …` with one cause an error (duplicates stay)."""
    qualified = f"{kind}.{group}" if group else kind
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    details["causes"] = [error.cause() for error in errors]
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'{qualified} "{name}" is invalid: {aggregate(errors)}',
        "reason": "Invalid",
        "details": details,
        "code": 422,
    }
