"""One step of a takeover: whether it is done, what it waits for, and its writes, as kubectl says them. Pure."""

import json
import shlex
from dataclasses import dataclass

from cli.migrate.told import Body, Password
from kube.resource import Resource

MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Act:
    """One write. `verb`: create, patch, delete, or copy (a password). Each may be repeated."""

    verb: str
    resource: Resource
    name: str
    namespace: str | None = None
    body: Body | None = None
    password: Password | None = None
    is_status: bool = False
    """Of the subresource status."""

    @property
    def command(self) -> str:
        """The same by kubectl, on one line."""
        res = f"{self.resource.plural}.{self.resource.group}" if self.resource.group else self.resource.plural
        where = ["-n", self.namespace] if self.namespace else []
        text = json.dumps(self.body, separators=(",", ":"))
        match self.verb:
            case "patch":
                of = ["--subresource=status"] if self.is_status else []
                return shlex.join(["kubectl", "patch", res, self.name, *where, *of, "--type=merge", "-p", text])
            case "delete":
                return shlex.join(["kubectl", "delete", res, self.name, *where])
            case "copy":
                peer = self.password.peer if self.password else ""
                return f"# copies the password of BGPPeer {peer} to Secret {self.name}"
            case _:
                return f"kubectl apply -f - <<< {shlex.quote(text)}"


@dataclass(frozen=True, slots=True)
class Step:
    """`acts`: what is still to be written; `waits`: what must be seen after that, empty once it is. `is_hopeless`: only
    a person can help. `node`: whose small step it is."""

    title: str
    acts: tuple[Act, ...] = ()
    waits: str = ""
    is_hopeless: bool = False
    node: str = ""

    @property
    def is_done(self) -> bool:
        """Nothing is left to do, and what must be seen is there."""
        return not self.acts and not self.waits


def some(names: list[str]) -> str:
    """The first of them, and how many more."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
