"""docs/api.md and docs/conditions.md as text, made from the types and from the conditions and reasons.

Pure; crds/__main__.py writes the files.
"""

from collections.abc import Iterable, Iterator

from crds.conditions import ConditionType, Reason
from crds.names import API_VERSION
from crds.schema import Schema, custom_resource_definition, flowing
from crds.types import KINDS, BerthObject

GENERATED = "<!-- Made by `python -m crds` from crds/; edit there. -->"


def api_document() -> str:
    """Every kind with its fields, defaults and bounds."""
    lines = [
        "# API",
        GENERATED,
        "",
        f"Group and version `{API_VERSION}`. All kinds are cluster-scoped; `kubectl get berth` lists them all, and",
        f"`kubectl explain --api-version={API_VERSION} ippool.spec` says in the cluster what is said here.",
        "Unknown fields are dropped by the server (kubectl warns). Rules are checked when an object is written: what",
        "breaks one is refused, with its message.",
        "",
    ]
    for kind in KINDS:
        lines += _kind(kind)
    return "\n".join(lines)


def _kind(kind: type[BerthObject]) -> Iterator[str]:
    manifest = custom_resource_definition(kind)
    names = manifest["spec"]["names"]
    yield f"## {names['kind']}"
    yield ""
    yield flowing(kind.__doc__)
    yield f"Names for kubectl: `{names['plural']}`, `{names['singular']}`, `{'`, `'.join(names['shortNames'])}`."
    yield ""
    schema = manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    rules: list[tuple[str, str]] = []
    rows: list[tuple[str, Schema, bool]] = []
    for part in ("spec", "status"):
        if part in schema["properties"]:
            _collect(part, schema["properties"][part], rows)
    yield "| field | type | what it is |"
    yield "|---|---|---|"
    for path, field, required in rows:
        yield f"| `{path}` | {_type(field)} | {_meaning(field, required=required)} |"
    yield ""
    for path, field, _ in (("", schema, False), *rows):
        rules += [(path, message) for message in _messages(field)]
    if rules:
        yield "Rules:"
        yield ""
        yield from (f"- {f'`{path}`' if path else 'the whole object'}: {message}" for path, message in unique(rules))
        yield ""


def unique(rules: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """In order, without repetitions."""
    return list(dict.fromkeys(rules))


def _collect(path: str, field: Schema, rows: list[tuple[str, Schema, bool]], *, required: bool = False) -> None:
    """A row for a field, and for those below it; conditions and label selectors are Kubernetes' own and end there."""
    rows.append((path, field, required))
    name = path.rpartition(".")[2]
    if name == "conditions" or name.lower().endswith("selector"):
        return
    inner, suffix = field, ""
    if field.get("type") == "array":
        inner, suffix = field["items"], "[]"
    elif "additionalProperties" in field:
        inner, suffix = field["additionalProperties"], "{}"
    for name, child in inner.get("properties", {}).items():
        _collect(f"{path}{suffix}.{name}", child, rows, required=name in inner.get("required", ()))


def _type(field: Schema) -> str:
    if field.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if field["type"] == "array":
        return f"list of {_type(field['items'])}"
    if "additionalProperties" in field:
        return f"map to {_type(field['additionalProperties'])}"
    return " or ".join(f"`{value}`" for value in field["enum"]) if "enum" in field else str(field["type"])


def _meaning(field: Schema, *, required: bool) -> str:
    notes = ["required"] if required else []
    if "default" in field and field["default"] != {}:
        default = field["default"]
        notes.append(f"default `{str(default).lower() if isinstance(default, bool) else default}`")
    if "minimum" in field and "maximum" in field:
        notes.append(f"{field['minimum']} to {field['maximum']}")
    elif "minimum" in field:
        notes.append(f"at least {field['minimum']}")
    if "maxItems" in field:
        notes.append(f"at most {field['maxItems']} items")
    text: str = field["description"].replace("|", "\\|")
    return f"{text} *({'; '.join(notes)})*" if notes else text


def _messages(field: Schema) -> Iterator[str]:
    for node in (field, field.get("items", {})):
        yield from (rule["message"] for rule in node.get("x-kubernetes-validations", ()))


def conditions_document() -> str:
    """Every condition type and reason with its meaning."""
    lines = [
        "# Conditions and reasons",
        GENERATED,
        "",
        "A condition says what Berth sees now, and its message what to do next. Where it is one of a Service, an",
        "IPPool, an advertisement or a BGPPeer, an Event of the same reason is written when it changes. `kubectl",
        "describe` shows both. Where the same happens to many Services at once, an Event tells of the first ones each,",
        "and one on the IPPool or the Speaker of the rest.",
        "",
        "| condition | what it says |",
        "|---|---|",
        *(f"| `{condition.value}` | {condition.doc} |" for condition in ConditionType),
        "",
        "| reason | what it means, and what to do |",
        "|---|---|",
        *(f"| `{reason.value}` | {reason.doc} |" for reason in Reason),
        "",
    ]
    return "\n".join(lines)
