"""What a kind may do in its own way when its objects are created, updated and validated.

The default is that of the simplest built-in kinds. Behaviours change the dicts they are
given in place; they never store.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.apiserver.fielderrors import FieldError
from lab.apiserver.kinds import metadata
from lab.apiserver.schema.shapes import Reading, Shape

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Moment:
    """What a behaviour may know of the request: the time and whether it is only a trial."""

    timestamp: str  # RFC 3339, seconds, UTC
    dry_run: bool = False


class Behaviour:
    """Hooks of one kind, called in the order in which they stand here."""

    has_generation = False
    has_status = False  # status is written through its own subresource only
    creates_on_update = False
    updates_unconditionally = True  # a PUT without a resourceVersion is taken
    returns_deleted_object = False  # DELETE answers with the object, not with a Status
    generation_fields: tuple[str, ...] | None = ("spec",)  # None: everything but metadata and status
    status_takes_metadata = True
    shape: Shape | None = None  # None: fields and types are not looked at
    name_rule: metadata.NameRule = staticmethod(metadata.subdomain)

    def read(self, obj: Json) -> Reading:
        """Drop unknown fields, and say why the object can't be read as its kind if it can't."""
        reading = Reading()
        if self.shape is not None:
            self.shape.read(obj, "", reading)
        return reading

    def default(self, obj: Json) -> None:
        """Fill defaults; safe to repeat."""

    def prepare_create(self, obj: Json, moment: Moment) -> None:
        """Set what a client may not decide at creation."""
        if self.has_status:
            obj.pop("status", None)

    def prepare_update(self, new: Json, old: Json, moment: Moment) -> None:
        """Put back what an update may not change."""
        if self.has_status:
            restore(new, old, "status")

    def prepare_status(self, new: Json, old: Json, moment: Moment) -> None:
        """For a write to the status subresource: everything else stays as it is."""
        for key in {*new, *old} - {"metadata", "status", "kind", "apiVersion"}:
            restore(new, old, key)
        if not self.status_takes_metadata:
            keep_metadata(new, old)

    def validate(self, obj: Json) -> list[FieldError]:
        """What is wrong with a new object, defaulted and prepared."""
        return []

    def validate_update(self, new: Json, old: Json) -> list[FieldError]:
        """What is wrong with an object that replaces another one."""
        return self.validate(new)

    def validate_status(self, new: Json, old: Json) -> list[FieldError]:
        """What is wrong with a status that replaces another one."""
        return []

    def allocate(self, new: Json, old: Json | None, moment: Moment) -> list[FieldError]:
        """Take what the server hands out (cluster IPs, node ports); the object is otherwise valid."""
        return []

    def before_delete(self, obj: Json) -> bool:
        """Last change to an object that is to be deleted; whether more than its finalizers holds it."""
        return False

    def is_held(self, obj: Json) -> bool:
        """Whether a terminating object has to stay."""
        return bool(obj["metadata"].get("finalizers"))


def restore(new: Json, old: Json, key: str) -> None:
    """Let a field be as it was, also if it was not there."""
    if key in old:
        new[key] = old[key]
    else:
        new.pop(key, None)


def keep_metadata(new: Json, old: Json) -> None:
    """Undo what a write did to metadata; the bookkeeping of field managers and preconditions aside."""
    kept = dict(old["metadata"])
    restore(kept, new["metadata"], "managedFields")
    new["metadata"] = kept


def spec_changed(new: Json, old: Json, fields: tuple[str, ...] | None) -> bool:
    """Whether the generation rises."""
    if fields is None:
        fields = tuple({*new, *old} - {"metadata", "status", "kind", "apiVersion"})
    return any(new.get(field) != old.get(field) for field in fields)
