"""Commands that people are told to run name our kinds with their group.

Calico and MetalLB have ippools, bgppeers and communities, too. `kubectl delete ippools --all` deletes theirs in a
cluster where our definitions are gone already.
"""

import re
from collections.abc import Iterator, Mapping

from crds.names import GROUP
from crds.types import KINDS

OUR_NAMES = frozenset(
    name.lower() for kind in KINDS for name in (kind.KIND.plural, kind.KIND.kind, *kind.KIND.short_names)
)
RUN = re.compile(r"""\bkubectl(?: [^`]*|\([^)]*\))""")
"""As a line of a document, in a message of a program, or as a call of the lab's."""
WORD = re.compile(r"""(?:^|[\s"'(,])([\w.-]+)(?=[\s"'`,/;:)|}]|$)""")
VALUES_OF_OPTIONS = re.compile(r"""(?:--[a-z-]+=|-[nclof] ?)[^\s"'`]*""")


def bare_names(line: str) -> Iterator[str]:
    """Of our kinds, in commands for kubectl in this line. An object's own name is not looked at."""
    for command in RUN.findall(line):
        words = VALUES_OF_OPTIONS.sub(" ", command.split("kubectl", 1)[1].split("#")[0])
        yield from (name for name in WORD.findall(words) if name.lower() in OUR_NAMES)


def faults(text: str) -> Iterator[tuple[int, str]]:
    """The line, and what to write instead."""
    for number, line in enumerate(text.splitlines(), 1):
        for name in bare_names(line):
            yield number, f"{name} in a command: write {name}.{GROUP}"


def qualified(text: str) -> str:
    """The same with the group where it is missing."""
    lines = []
    for line in text.splitlines(keepends=True):
        for name in dict.fromkeys(bare_names(line)):
            start = line.index("kubectl")
            rest = re.sub(rf"(?<=[\s\"'(,]){re.escape(name)}(?=[\s\"'`,/;:)|}}]|$)", f"{name}.{GROUP}", line[start:])
            line = line[:start] + rest
        lines.append(line)
    return "".join(lines)


def everywhere(files: Mapping[str, str]) -> Iterator[tuple[str, int, str]]:
    """All faults of these files."""
    for path, text in files.items():
        yield from ((path, number, what) for number, what in faults(text))
