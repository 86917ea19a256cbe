"""The verbs on all resources: create, get, list, update, patch, delete, with Kubernetes' rules for each.

Synchronous: between reading an object and storing the new one nothing else can run. Calls are authorized before
(access/rbac.py), and answers are encoded after (http/views.py).
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from lab.apiserver import fielderrors, status
from lab.apiserver.access.admissionrequest import Operation
from lab.apiserver.call import SYSTEM, Call
from lab.apiserver.fielderrors import FieldError
from lab.apiserver.kinds import metadata
from lab.apiserver.kinds.behaviour import Behaviour, Moment, spec_changed
from lab.apiserver.kinds.registry import Registry
from lab.apiserver.resource import Resource
from lab.apiserver.status import StatusError
from lab.apiserver.store import Json, Key, Record, Store, encode
from lab.apiserver.verbs import checks, lists
from lab.apiserver.verbs.apply import Conflict, FieldManager, apply, track_update
from lab.apiserver.verbs.conversion import from_storage, to_storage
from lab.apiserver.verbs.patching import APPLY, Transform, media_of, merge_schema, transform_of


class Admission(Protocol):
    """Judges a write before it is stored; raises StatusError to refuse."""

    def review(self, call: Call, operation: Operation, new: Json | None, old: Json | None) -> None:
        """`new` and `old` as the resource of the call serves them; None where there is none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a write gives back: an object or, in `body`, something else."""

    code: int
    record: Record | None = None
    body: Json | None = None


def timestamp() -> str:
    """Now, as metadata writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Rest:
    """The verbs. Each takes a call that is authorized; it raises a StatusError for what the client does wrong.

    `after_commit` and `after_remove` are called after each write that is stored, before the verb returns.
    """

    def __init__(self, store: Store, registry: Registry, admission: Admission, rng: random.Random) -> None:
        self.store = store
        self.registry = registry
        self.admission = admission
        self.after_commit: list[Callable[[Resource, Record], None]] = []
        self.after_remove: list[Callable[[Resource, Key], None]] = []
        self._rng = rng
        self._status_writers: dict[str, str] = {}
        """Of built-in objects, by uid: who wrote the status first."""

    # --- reading

    def get(self, call: Call) -> Record:
        """The object that the call names. Raises StatusError (404)."""
        record = self.store.table(call.resource.storage).get(Key(call.namespace, call.name))
        if record is None:
            raise status.not_found(call.resource.group, call.resource.plural, call.name)
        return record

    def list_page(self, call: Call) -> lists.Page:
        """One page of a list. Raises StatusError: 400, 410, 422."""
        return lists.page(self.store, call)

    # --- create

    def create(self, call: Call) -> Answer:
        """POST: store a new object. Raises StatusError, among others 409 for a name that is taken."""
        obj = call.object()
        return self._create(call, obj, track=False)

    def _create(self, call: Call, obj: Json, *, track: bool) -> Answer:
        resource, behaviour = call.resource, self.registry.behaviour(call.resource)
        checks.read(call, behaviour, obj)
        meta: Json = obj["metadata"]
        checks.same_namespace(call, meta)
        if meta.get("resourceVersion") and not track:
            raise StatusError(500, "", "resourceVersion should not be set on objects to be created", None)
        if not track:
            meta.pop("managedFields", None)
        name = call.name = self._name_of_new(call, meta)
        if call.namespace:
            checks.open_namespace(self.store, call, name)
        moment = Moment(timestamp(), call.dry_run)
        metadata.tidy(meta)
        metadata.stamp(
            meta,
            name=name,
            namespace=call.namespace if resource.namespaced else "",
            uid=str(uuid.UUID(int=self._rng.getrandbits(128), version=4)),
            timestamp=moment.timestamp,
        )
        stored = to_storage(resource, obj)
        behaviour.default(stored)
        behaviour.prepare_create(stored, moment)
        if behaviour.has_generation:
            meta["generation"] = 1
        checks.refuse(call, metadata.validate(meta, behaviour.name_rule) + behaviour.validate(stored))
        key = Key(call.namespace if resource.namespaced else "", name)
        if self.store.table(resource.storage).get(key) is not None:
            raise status.already_exists(resource.group, resource.plural, name)
        checks.refuse(call, behaviour.allocate(stored, None, moment))
        self._admit(call, Operation.CREATE, stored, None)
        if call.dry_run:
            return Answer(201, Record(key, 0, encode(stored), {}, meta["uid"]))
        return Answer(201, self._commit(resource, key, stored))

    def _name_of_new(self, call: Call, meta: Json) -> str:
        name: str = meta.get("name") or ""
        if name:
            checks.same_name(call, name)
        if not (name or call.name) and meta.get("generateName"):
            base: str = meta["generateName"]
            letters = self._rng.choices(metadata.GENERATED_LETTERS, k=metadata.GENERATED_LENGTH)
            return base[: metadata.MAXIMUM_GENERATED_BASE] + "".join(letters)
        if not (name or call.name):
            error = fielderrors.required("metadata.name", "name or generateName is required")
            raise status.invalid(call.resource.group, call.resource.kind, "", [error])
        return name or call.name

    # --- update and patch

    def update(self, call: Call) -> Answer:
        """PUT: the body replaces the object."""
        obj = call.object()
        name = obj["metadata"].setdefault("name", call.name)
        checks.same_name(call, name)
        checks.same_namespace(call, obj["metadata"])
        behaviour = self.registry.behaviour(call.resource)
        key = Key(call.namespace, call.name)
        record = self.store.table(call.resource.storage).get(key)
        if record is None:
            if behaviour.creates_on_update and not call.subresource and not obj["metadata"].get("resourceVersion"):
                return self._create(call, obj, track=False)
            raise status.not_found(call.resource.group, call.resource.plural, call.name)
        checks.same_uid(call, obj, record)
        if not obj["metadata"].get("resourceVersion") and not behaviour.updates_unconditionally:
            error = fielderrors.invalid("metadata.resourceVersion", 0, "must be specified for an update")
            raise status.invalid(call.resource.group, call.resource.kind, call.name, [error])
        return self._replace(call, record, lambda _: obj)

    def patch(self, call: Call) -> Answer:
        """PATCH, by the media type of the body; server-side apply is one of them."""
        if media_of(call) == APPLY:
            return self._apply(call)
        transform = transform_of(call)
        return self._replace(call, self.get(call), transform, patched=True)

    def _apply(self, call: Call) -> Answer:
        """Server-side apply (KEP-555): creates what is not there."""
        checks.field_manager(call)
        config = call.object()
        config["metadata"].setdefault("name", call.name)
        if call.resource.namespaced:
            config["metadata"].setdefault("namespace", call.namespace)
        if config["metadata"]["name"] != call.name:
            raise status.bad_request("the name of the object does not match the name on the URL")
        behaviour = self.registry.behaviour(call.resource)
        checks.read(call, behaviour, config)
        record = self.store.table(call.resource.storage).get(Key(call.namespace, call.name))
        if record is None:
            if call.subresource:
                raise status.not_found(call.resource.group, call.resource.plural, call.name)
            return self._create(call, self._applied(call, None, config), track=True)
        return self._replace(call, record, lambda live: self._applied(call, live, config), applied=True)

    def _applied(self, call: Call, live: Json | None, config: Json) -> Json:
        schema = merge_schema(call.resource)
        match apply(live, config, self._manager(call), schema, force=call.flag("force")):
            case Conflict() as clash:
                raise status.from_body(clash.status())
            case merged:
                return merged

    def _manager(self, call: Call) -> FieldManager:
        return FieldManager(call.field_manager, call.resource.api_version, timestamp(), call.subresource)

    def _is_another_writer(self, call: Call, uid: str) -> bool:
        """Whether the status of a built-in object has had another writer: from then on its fields have managers."""
        if not call.subresource or call.resource.group:
            return False
        return self._status_writers.setdefault(uid, call.field_manager) != call.field_manager

    def _replace(
        self, call: Call, record: Record, transform: Transform, *, patched: bool = False, applied: bool = False
    ) -> Answer:
        """All that PUT and PATCH have in common, from the new object to its place in the store."""
        resource, behaviour = call.resource, self.registry.behaviour(call.resource)
        old = from_storage(resource, record.value())
        new = transform(from_storage(resource, record.value()))
        if not isinstance(new, dict) or not isinstance(new.get("metadata"), dict):
            raise status.bad_request("the patch leaves no object")
        if not applied:
            checks.read(call, behaviour, new, patched=patched)
        meta, old_meta = new["metadata"], old["metadata"]
        expected = meta.get("resourceVersion")
        if expected and expected != old_meta["resourceVersion"]:
            raise status.modified(resource.group, resource.plural, call.name)
        meta["resourceVersion"] = old_meta["resourceVersion"]
        metadata.tidy(meta)
        metadata.inherit(meta, old_meta)
        new["kind"], new["apiVersion"] = old["kind"], old["apiVersion"]
        if "managedFields" not in meta and "managedFields" in old_meta:
            meta["managedFields"] = old_meta["managedFields"]
        moment = Moment(timestamp(), call.dry_run)
        old, new = to_storage(resource, old), to_storage(resource, new)
        behaviour.default(new)
        errors = self._prepare(call, behaviour, new, old, moment)
        checks.refuse(call, errors)
        if not call.subresource:
            checks.refuse(call, behaviour.allocate(new, old, moment))
        if not applied and (old_meta.get("managedFields") or self._is_another_writer(call, record.uid)):
            track_update(old, new, self._manager(call), merge_schema(resource))
        self._admit(call, Operation.UPDATE, new, old)
        return self._store_replacement(call, record, new, old)

    def _prepare(self, call: Call, behaviour: Behaviour, new: Json, old: Json, moment: Moment) -> list[FieldError]:
        # Judged before status rules put metadata back: a wrong uid is refused there too.
        errors = metadata.validate_update(new["metadata"], old["metadata"])
        if call.subresource:
            behaviour.prepare_status(new, old, moment)
            return errors + behaviour.validate_status(new, old)
        behaviour.prepare_update(new, old, moment)
        if behaviour.has_generation and spec_changed(new, old, behaviour.generation_fields):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        errors += metadata.validate(new["metadata"], _any_name)
        return errors + behaviour.validate_update(new, old)

    def _store_replacement(self, call: Call, record: Record, new: Json, old: Json) -> Answer:
        meta = new["metadata"]
        if "deletionTimestamp" in meta and not self.registry.behaviour(call.resource).is_held(new):
            if not call.dry_run:
                self.remove(call.resource, record.key)
            return Answer(200, Record(record.key, record.revision, encode(new), {}, record.uid))
        if new == old:
            return Answer(200, record)
        if call.dry_run:
            return Answer(200, Record(record.key, record.revision, encode(new), {}, record.uid))
        return Answer(200, self._commit(call.resource, record.key, new))

    # --- delete

    def delete(self, call: Call, options: Json) -> Answer:
        """DELETE, with its options (preconditions, dryRun). The object stays while finalizers hold it."""
        record = self.get(call)
        checks.preconditions(call, record, options.get("preconditions") or {})
        old = record.value()
        self._admit(call, Operation.DELETE, None, old)
        trial = call.dry_run or options.get("dryRun") == ["All"]
        if self.registry.behaviour(call.resource).before_delete(old) or old["metadata"].get("finalizers"):
            return Answer(200, self._mark(call, record, old, trial=trial))
        gone = record if trial else self.remove(call.resource, record.key)
        if self.registry.behaviour(call.resource).returns_deleted_object:
            return Answer(200, gone)
        resource = call.resource
        return Answer(200, body=status.success(resource.group, resource.plural, call.name, record.uid))

    def _mark(self, call: Call, record: Record, obj: Json, *, trial: bool) -> Record:
        """Finalizers hold the object: it only gets a deletionTimestamp, once."""
        meta = obj["metadata"]
        if "deletionTimestamp" in meta:
            return record
        meta["deletionTimestamp"] = timestamp()
        meta["deletionGracePeriodSeconds"] = 0
        if meta.get("generation"):
            meta["generation"] += 1
        if trial:
            return Record(record.key, record.revision, encode(obj), {}, record.uid)
        return self._commit(call.resource, record.key, obj)

    def delete_collection(self, call: Call, options: Json) -> lists.Page:
        """Delete all that a list would show; returns them as they were."""
        page = self.list_page(call)
        for record in page.records:
            one = Call("delete", call.resource, record.key.namespace, record.key.name, user=call.user, query=call.query)
            self.delete(one, options)
        return page

    # --- the server's own writes

    def write(self, resource: Resource, key: Key, change: Transform) -> Record | None:
        """Change an object past all rules (status that a controller would write). None if it is not there."""
        record = self.store.table(resource.storage).get(key)
        if record is None:
            return None
        old = record.value()
        new = change(record.value())
        return record if new == old else self._commit(resource, key, new)

    def purge(self, resource: Resource, records: Iterable[Record]) -> None:
        """Delete as a user would: finalizers hold."""
        for record in records:
            self.delete(Call("delete", resource, *record.key, user=SYSTEM), {})

    def _commit(self, resource: Resource, key: Key, value: Json) -> Record:
        record = self.store.put(resource.storage, key, value)
        for follower in self.after_commit:
            follower(resource, record)
        return record

    def remove(self, resource: Resource, key: Key) -> Record:
        """Take an object out, whatever holds it."""
        gone = self.store.remove(resource.storage, key)
        self._status_writers.pop(gone.uid, None)
        for follower in self.after_remove:
            follower(resource, key)
        return gone

    # --- common

    def _admit(self, call: Call, operation: Operation, new: Json | None, old: Json | None) -> None:
        """Show a write to admission, in the version of the call; the objects given are as they are stored."""
        served = [None if one is None else from_storage(call.resource, dict(one)) for one in (new, old)]
        self.admission.review(call, operation, *served)


def _any_name(_: str) -> None:
    """An object that exists has a name that was fine."""
