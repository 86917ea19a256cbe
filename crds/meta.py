"""The parts that all kinds of the API share: the decoding rules, ObjectMeta, Condition, LabelSelector.

Nothing here talks to the API server, and nothing knows a particular kind. Unknown fields are ignored when decoding, so
that an older Berth reads what a newer one wrote.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from crds.kind import CustomKind
from crds.markers import Format, Items, ItemText, ListMap, Rule, Text


class Model(BaseModel):
    """A frozen value: snake_case attributes, camelCase on the wire; sequences are tuples.

    What reads and writes a kind is built as it is used first: no program uses all of them, and a command few.
    """

    model_config = ConfigDict(
        defer_build=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="ignore",
        frozen=True,
    )

    RULES: ClassVar[tuple[Rule, ...]] = ()
    """CEL rules on the whole value."""

    def to_wire(self) -> dict[str, Any]:
        """The JSON form with camelCase names; fields that are None are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class ObjectMeta(Model):
    """The metadata that Berth uses, of any object."""

    name: str = ""
    namespace: str | None = None
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()

    def to_wire(self) -> dict[str, Any]:
        """Only what is set: an empty uid or resourceVersion in a request would read as a precondition."""
        return {name: value for name, value in super().to_wire().items() if value not in ("", 0, {}, [])}


class BerthObject(Model):
    """Base of all kinds. A kind adds `spec`, mostly `status`, and describes itself in `KIND`."""

    KIND: ClassVar[CustomKind]

    api_version: str = "berth.dev/v1beta1"
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()

    @classmethod
    def decode(cls, raw: bytes | str) -> Self:
        """Read one object as the API server sends it. Raises pydantic.ValidationError."""
        return cls.model_validate_json(raw)

    def to_wire(self) -> dict[str, Any]:
        """The whole object for a create or a replace, with metadata reduced to what is set."""
        wire = super().to_wire()
        wire["kind"] = self.KIND.kind
        wire["metadata"] = self.metadata.to_wire()
        return wire


class Condition(Model):
    """One observation about an object, after the Kubernetes API conventions (metav1.Condition)."""

    type: Annotated[str, Text(max_length=316)]
    """Which aspect this condition speaks of, for example Ready."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition holds: True, False, or Unknown."""
    reason: Annotated[str, Text(min_length=1, max_length=1024)]
    """One CamelCase word that says why; all of them are explained in docs/conditions.md."""
    message: Annotated[str, Text(max_length=32768)] = ""
    """A sentence for people: what was seen, and what to do next."""
    last_transition_time: Annotated[str, Format("date-time")]
    """When the status last changed from one value to another."""
    observed_generation: Annotated[int, Field(ge=0), Format("int64")] | None = None
    """The metadata.generation of the object that this observation was made on."""


Conditions = Annotated[tuple[Condition, ...], ListMap("type"), Items(maximum=32)]
"""A list of conditions that different writers can patch one by one."""


class ConditionedStatus(Model):
    """A status that carries conditions."""

    conditions: Conditions = ()
    """What is true of the object just now, and why."""


class JudgedStatus(ConditionedStatus):
    """The status of what users write, as Berth judges it."""

    observed_generation: Annotated[int, Field(ge=0), Format("int64")] | None = None
    """The metadata.generation that all of this was found of: a lower one than the object's is of an earlier spec."""


class UsedStatus(JudgedStatus):
    """The status of what others name: who does."""

    used_by: Annotated[str, Text(max_length=1024)] = ""
    """The objects that use it, as a text for tables; empty: none."""


Labels = Annotated[dict[str, str], ItemText(max_length=63)]

LabelKey = Annotated[str, Text(min_length=1, max_length=317)]
LabelValue = Annotated[str, Text(max_length=63)]


class LabelSelectorRequirement(Model):
    """One condition on a label: a key, an operator, and the values it compares with."""

    RULES = (
        Rule(
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
            "operators In and NotIn need at least one value; Exists and DoesNotExist take none: remove `values`",
        ),
    )

    key: LabelKey
    """The label's key."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the label relates to the values: In, NotIn, Exists or DoesNotExist."""
    values: Annotated[tuple[LabelValue, ...], Items(maximum=128)] = ()
    """The values of In and NotIn (at least one); none for Exists and DoesNotExist."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """As Kubernetes reads it: NotIn and DoesNotExist match an object that has no such label."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels


class LabelSelector(Model):
    """Chooses objects by their labels; all requirements must hold, and an empty selector chooses everything."""

    match_labels: Labels = Field(default_factory=dict)
    """Labels that an object must have, with these values."""
    match_expressions: Annotated[tuple[LabelSelectorRequirement, ...], Items(maximum=64)] = ()
    """Further requirements, with operators."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is chosen."""
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            requirement.matches(labels) for requirement in self.match_expressions
        )
