"""What a request has to fulfil whatever its verb and kind. Each check raises the StatusError that the client gets.

What a kind asks of its objects is in its behaviour.
"""

from __future__ import annotations

from lab.apiserver import fielderrors, status
from lab.apiserver.call import Call
from lab.apiserver.fielderrors import FieldError
from lab.apiserver.kinds.behaviour import Behaviour
from lab.apiserver.resource import Resource
from lab.apiserver.schema.compiled import unknown_field_warnings, unknown_fields_message
from lab.apiserver.status import StatusError
from lab.apiserver.store import Json, Key, Record, Store, encode


def read(call: Call, behaviour: Behaviour, obj: Json, *, patched: bool = False) -> None:
    """Drop unknown fields and say so as the client wants it (`fieldValidation`); refuse what can't be read: 400, 422.

    `patched`: the object is the outcome of a patch, of which kube-apiserver speaks in other words.
    """
    resource = call.resource
    reading = behaviour.read(obj)
    if reading.error:
        raise _undecodable_patch(obj, reading.error) if patched else _undecodable(resource, reading.error)
    if not reading.unknown:
        return
    match call.query.get("fieldValidation") or "Warn":
        case "Strict" if patched:
            paths = ", ".join(f'unknown field "{path}"' for path in reading.unknown)
            raise _undecodable_patch(obj, f"strict decoding error: {paths}")
        case "Strict":
            raise status.bad_request(unknown_fields_message(resource.kind, resource.version, reading.unknown))
        case "Warn":
            call.warnings += unknown_field_warnings(reading.unknown)


def _undecodable(resource: Resource, why: str) -> StatusError:
    return status.bad_request(
        f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {why}'
    )


def _undecodable_patch(obj: Json, why: str) -> StatusError:
    """What kube-apiserver says of a patch whose outcome is no object of the kind, odd name and all."""
    shown = {"apiVersion": obj["apiVersion"], "kind": obj["kind"]} | obj
    error = fielderrors.invalid("patch", encode(shown).decode(), why)
    return status.invalid("", "", "", [error])


def refuse(call: Call, errors: list[FieldError]) -> None:
    """422 if anything is wrong with the object's fields."""
    if errors:
        raise status.invalid(call.resource.group, call.resource.kind, call.name, errors)


def same_name(call: Call, name: str) -> None:
    """The name in an object is the one of the URL, where that has one: 400."""
    if call.name and name != call.name:
        raise status.bad_request(f"the name of the object ({name}) does not match the name on the URL ({call.name})")


def same_namespace(call: Call, meta: Json) -> None:
    """An object that names a namespace names the one of the URL: 400."""
    given = meta.get("namespace")
    if call.resource.namespaced and given and given != call.namespace:
        raise status.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def open_namespace(store: Store, call: Call, name: str) -> None:
    """The namespace of a new object exists (404), and is not on its way out (403)."""
    record = store.table("namespaces").get(Key("", call.namespace))
    if record is None:
        raise status.not_found("", "namespaces", call.namespace)
    if b'"deletionTimestamp"' in record.raw and "deletionTimestamp" in record.value()["metadata"]:
        why = f"unable to create new content in namespace {call.namespace} because it is being terminated"
        refusal = status.forbidden(call.resource.group, call.resource.plural, name, why)
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {call.namespace} is being terminated",
            "field": "metadata.namespace",
        }
        refusal.details = (refusal.details or {}) | {"causes": [cause]}
        raise refusal


def same_uid(call: Call, obj: Json, record: Record) -> None:
    """An update that names a uid means the object that is there: 409."""
    uid = obj["metadata"].get("uid")
    if uid and uid != record.uid:
        path = "/".join(part for part in record.key if part)
        why = (
            f"StorageError: invalid object, Code: 4, Key: /registry/{call.resource.plural}/{path}, "
            "ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: "
            f"{uid}, UID in object meta: {record.uid}"
        )
        raise status.conflict(call.resource.group, call.resource.plural, call.name, why)


def preconditions(call: Call, record: Record, wanted: Json) -> None:
    """The `preconditions` of a delete (uid, resourceVersion) hold: 409."""
    resource = call.resource
    uid, version = wanted.get("uid"), wanted.get("resourceVersion")
    if uid is not None and uid != record.uid:
        why = (
            f"the UID in the precondition ({uid}) does not match the UID in record ({record.uid}). "
            "The object might have been deleted and then recreated"
        )
        raise status.conflict(resource.group, resource.kind, call.name, why)
    if version is not None and version != str(record.revision):
        why = (
            f"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record "
            f"({record.revision}). The object might have been modified"
        )
        raise status.conflict(resource.group, resource.kind, call.name, why)


def field_manager(call: Call) -> None:
    """Server-side apply names its field manager: 422."""
    if not call.query.get("fieldManager"):
        error = {"reason": "FieldValueRequired", "message": "Required value: is required for apply patch"}
        message = "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value: is required for apply patch"
        raise StatusError(422, "Invalid", message, {"causes": [error | {"field": "fieldManager"}]})
