"""Object metadata: names, stamps at creation, and what an update may not change.

The same for all kinds; what a kind adds is in its behaviour. Does not store anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lab.apiserver import fielderrors
from lab.apiserver.fielderrors import FieldError

Json = dict[str, Any]
NameRule = Callable[[str], str | None]

GENERATED_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
GENERATED_LENGTH = 5
MAXIMUM_GENERATED_BASE = 63 - GENERATED_LENGTH

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})

SUBDOMAIN_MESSAGE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_MESSAGE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
QUALIFIED_MESSAGE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
LABEL_VALUE_MESSAGE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def subdomain(name: str) -> str | None:
    """RFC 1123 subdomain, the rule for most names. Returns what is wrong."""
    if len(name) > 253:
        return "must be no more than 253 characters"
    return None if _SUBDOMAIN.fullmatch(name) else SUBDOMAIN_MESSAGE


def label(name: str) -> str | None:
    """RFC 1123 label: namespaces and Services."""
    if len(name) > 63:
        return "must be no more than 63 characters"
    return None if _LABEL.fullmatch(name) else LABEL_MESSAGE


def path_segment(name: str) -> str | None:
    """What can stand in a URL: RBAC names have colons."""
    if name in (".", ".."):
        return f"may not be '{name}'"
    for part in ("/", "%"):
        if part in name:
            return f"may not contain '{part}'"
    return None


def qualified_name(name: str) -> str | None:
    """`example.dev/name` or `name`: keys of labels and annotations, finalizers."""
    prefix, slash, rest = name.rpartition("/")
    if slash and subdomain(prefix):
        return f"prefix part {subdomain(prefix)}"
    if len(rest) > 63:
        return "name part must be no more than 63 characters"
    return None if _QUALIFIED.fullmatch(rest) else QUALIFIED_MESSAGE


def tidy(metadata: Json) -> None:
    """Drop what Kubernetes never writes out: nulls, empty maps and lists, and fields long gone."""
    for key in [key for key, value in metadata.items() if value in (None, {}, [], "") or key == "selfLink"]:
        if key != "managedFields":
            del metadata[key]


def stamp(metadata: Json, *, name: str, namespace: str, uid: str, timestamp: str) -> None:
    """Make fresh metadata of what a client sent with a create."""
    for key in ("generation", "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"):
        metadata.pop(key, None)
    metadata["name"] = name
    metadata.pop("namespace", None)
    if namespace:
        metadata["namespace"] = namespace
    metadata["uid"] = uid
    metadata["creationTimestamp"] = timestamp


def validate(metadata: Json, name_rule: NameRule) -> list[FieldError]:
    """What is wrong with the metadata of an object; `name_rule` is that of its kind."""
    errors = []
    if wrong := name_rule(metadata["name"]):
        errors.append(fielderrors.invalid("metadata.name", metadata["name"], wrong))
    errors += validate_labels(metadata.get("labels"), "metadata.labels")
    for key in metadata.get("annotations") or {}:
        if wrong := qualified_name(key.lower()):
            errors.append(fielderrors.invalid("metadata.annotations", key, wrong))
    for finalizer in metadata.get("finalizers") or ():
        if wrong := qualified_name(finalizer):
            errors.append(fielderrors.invalid("metadata.finalizers", finalizer, wrong))
        elif "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            detail = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(fielderrors.invalid("metadata.finalizers", finalizer, detail))
    return errors


def validate_labels(labels: Json | None, field: str) -> list[FieldError]:
    """What is wrong with the keys and values of labels; `field` is where they stand."""
    errors = []
    for key, value in (labels or {}).items():
        if wrong := qualified_name(key):
            errors.append(fielderrors.invalid(field, key, wrong))
        if len(value) > 63:
            errors.append(fielderrors.invalid(field, value, "must be no more than 63 bytes"))
        elif not _LABEL_VALUE.fullmatch(value):
            errors.append(fielderrors.invalid(field, value, LABEL_VALUE_MESSAGE))
    return errors


def inherit(new: Json, old: Json) -> None:
    """What an update leaves out, or may not decide, comes from the object that is there."""
    for key in (
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
    ):
        if not new.get(key) and key in old:
            new[key] = old[key]
    new.pop("generation", None)
    if "generation" in old:
        new["generation"] = old["generation"]


def validate_update(new: Json, old: Json) -> list[FieldError]:
    """What stays as it is. Kubernetes runs this check twice, and its answers list each cause twice; so do ours."""
    errors = []
    if old.get("deletionTimestamp"):
        before = set(old.get("finalizers") or ())
        added = [finalizer for finalizer in new.get("finalizers") or () if finalizer not in before]
        if added:
            listed = ", ".join(f'"{finalizer}"' for finalizer in added)
            detail = "no new finalizers can be added if the object is being deleted"
            errors.append(
                fielderrors.forbidden("metadata.finalizers", f"{detail}, found new finalizers []string{{{listed}}}")
            )
    for key in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp"):
        if new.get(key) != old.get(key):
            errors.append(fielderrors.invalid(f"metadata.{key}", new.get(key), "field is immutable"))
    return errors * 2
