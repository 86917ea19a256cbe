"""Subresources that are no part of the object they stand below: the scale of a Deployment, the end of a namespace.

`status` is a part of its object, and so one of the verbs in rest.py; `token` is in access/tokens.py.
"""

from __future__ import annotations

from lab.apiserver.call import Call
from lab.apiserver.kinds.workloads import to_scale
from lab.apiserver.status import StatusError
from lab.apiserver.store import Json, Key, Record, encode
from lab.apiserver.verbs.patching import MERGE_PATCH
from lab.apiserver.verbs.rest import Rest


def scale(rest: Rest, call: Call) -> Json:
    """GET, PUT and PATCH .../scale: the Scale of an object; a write changes `spec.replicas` of the object itself."""
    owner = Call("get", call.resource, call.namespace, call.name, user=call.user)
    record = rest.get(owner)
    if call.verb == "get":
        return to_scale(record.value())
    if call.verb == "update":
        replicas = (call.document().get("spec") or {}).get("replicas", 0)
        call.body = encode({"spec": {"replicas": replicas}})
    call.content_type, call.verb, call.subresource = MERGE_PATCH, "patch", ""
    answer = rest.patch(call)
    return to_scale(answer.record.value() if answer.record else {})


def finalize(rest: Rest, call: Call) -> Record:
    """PUT .../namespaces/NAME/finalize: sets spec.finalizers; the way to free a namespace that hangs.

    Returns the namespace, as it was if this was its end.
    """
    obj = call.object()
    wanted = (obj.get("spec") or {}).get("finalizers") or []
    key = Key("", call.name)
    before = rest.get(Call("get", call.resource, "", call.name))
    spec = {"finalizers": wanted} if wanted else {}
    record = rest.write(call.resource, key, lambda one: one | {"spec": spec})
    if record is None:
        raise StatusError(404, "NotFound", f'namespaces "{call.name}" not found')
    value = record.value()
    if "deletionTimestamp" in value["metadata"] and not wanted and not value["metadata"].get("finalizers"):
        rest.remove(call.resource, key)
        return before
    return record
