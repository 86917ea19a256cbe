"""One API request after routing and authentication, and its sender.

The body is held and parsed here; what is done about it is in verbs/rest.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import yaml

from lab.apiserver import protobuf
from lab.apiserver.resource import Resource
from lab.apiserver.status import StatusError, bad_request, unsupported_media_type

Json = dict[str, Any]

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"


@dataclass(frozen=True, slots=True)
class User:
    """The sender of a request."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_master(self) -> bool:
        """Whether RBAC lets the user do everything."""
        return MASTERS in self.groups


ANONYMOUS = User("system:anonymous", (UNAUTHENTICATED,))
SYSTEM = User("system:apiserver", (MASTERS, AUTHENTICATED))
"""The server itself, for what it does by its own (a namespace's contents)."""


@dataclass(slots=True)
class Call:
    """A request for a resource. `warnings` are for the client and filled on the way."""

    verb: str
    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    user: User = SYSTEM
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = "application/json"
    user_agent: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def dry_run(self) -> bool:
        """Whether nothing is to be stored (`dryRun=All`). Raises StatusError (422) for another value."""
        match self.query.get("dryRun"):
            case None | "":
                return False
            case "All":
                return True
            case other:
                raise StatusError(
                    422, "Invalid", f'dryRun: Unsupported value: "{other}": supported values: "All"', {"causes": []}
                )

    @property
    def field_manager(self) -> str:
        """The owner of the fields written: a parameter, or the first part of the User-Agent."""
        return self.query.get("fieldManager") or self.user_agent.partition("/")[0] or "unknown"

    def flag(self, name: str) -> bool:
        """A boolean parameter; present without a value counts as true."""
        return self.query.get(name, "false") not in ("false", "0", "False", "f", "F")

    def number(self, name: str) -> int:
        """A parameter that is a number; absent, empty or malformed is 0."""
        text = self.query.get(name, "")
        return int(text) if text.isdigit() else 0

    def document(self) -> Any:
        """The body, from JSON, YAML or (for some kinds) protobuf."""
        media = self.content_type.partition(";")[0].strip()
        try:
            if media.endswith("yaml"):
                return yaml.load(self.body, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            if media in ("application/json", "") or media.endswith("+json"):
                return msgspec.json.decode(self.body)
            if media == protobuf.MEDIA:
                return protobuf.decode(self.body)
        except protobuf.ProtobufError as error:
            raise StatusError(415, "UnsupportedMediaType", str(error)) from None
        except (msgspec.DecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise bad_request(f"error decoding: {error}") from None
        raise unsupported_media_type(("application/json", "application/yaml"))

    def object(self) -> Json:
        """The body as an object of the call's kind; an absent kind or apiVersion is filled in."""
        value = self.document()
        if not isinstance(value, dict):
            raise bad_request("the body is not an object")
        resource = self.resource
        sub = resource.subresource(self.subresource)
        kind = sub.kind if sub else resource.kind
        version = resource.api_version
        if sub and sub.version:
            version = f"{sub.group}/{sub.version}" if sub.group else sub.version
        if (given := value.setdefault("apiVersion", version)) != version:
            raise bad_request(
                f"the API version in the data ({given}) does not match the expected API version ({version})"
            )
        if (given := value.setdefault("kind", kind)) != kind:
            raise bad_request(
                f'{kind} in version "{resource.version}" cannot be handled as a {kind}: '
                f"no kind {given!r} is registered for version {version!r}"
            )
        if not isinstance(value.get("metadata"), dict):
            value["metadata"] = {}
        return value
