"""ValidatingAdmissionPolicies in force, kept compiled; every write is shown to them.

What a policy says is worked out in policy.py. Webhooks are not served.
"""

from __future__ import annotations

from lab.apiserver import status
from lab.apiserver.access.admissionrequest import AdmissionRequest, Operation
from lab.apiserver.access.policy import CompiledPolicy, review
from lab.apiserver.call import Call
from lab.apiserver.store import Event, Json, Key, Store

GROUP = "admissionregistration.k8s.io"
POLICIES = f"validatingadmissionpolicies.{GROUP}"
BINDINGS = f"validatingadmissionpolicybindings.{GROUP}"


class PolicyAdmission:
    """The policies in force. They follow the store: a policy counts from the write after the one that made it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._policies: list[CompiledPolicy] | None = None
        self._bindings: list[Json] = []
        for table in (POLICIES, BINDINGS):
            store.table(table).listen(self._changed)

    def _changed(self, _: Event) -> None:
        self._policies = None

    def review(self, call: Call, operation: Operation, new: Json | None, old: Json | None) -> None:
        """Raises the refusal of the first policy that denies; warnings go to the call.

        `new` and `old` are the object as the call's resource serves it; None where there is none."""
        policies = self._policies
        if policies is None:
            policies = self._compile()
        if not policies or not self._bindings or call.resource.group == GROUP:
            return
        verdict = review(self._request(call, operation, new, old), policies, self._bindings)
        call.warnings += verdict.warnings
        if verdict.denied is not None:
            raise status.from_body(verdict.denied)

    def _compile(self) -> list[CompiledPolicy]:
        self._policies = [CompiledPolicy(record.value()) for record in self._store.table(POLICIES).records()]
        self._bindings = [record.value() for record in self._store.table(BINDINGS).records()]
        return self._policies

    def _request(self, call: Call, operation: Operation, new: Json | None, old: Json | None) -> AdmissionRequest:
        resource, user = call.resource, call.user
        namespace = None
        if call.namespace and (record := self._store.table("namespaces").get(Key("", call.namespace))):
            namespace = record.value()
        return AdmissionRequest(
            operation=operation,
            group=resource.group,
            version=resource.version,
            resource=resource.plural,
            kind=resource.kind,
            subresource=call.subresource,
            namespace=call.namespace,
            name=call.name,
            username=user.name,
            groups=user.groups,
            uid=user.uid,
            extra=user.extra,
            object=new,
            old_object=old,
            dry_run=call.dry_run,
            namespace_object=namespace,
        )
