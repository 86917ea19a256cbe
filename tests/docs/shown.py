"""The commands that documents show: lines of their code blocks that begin with a program that people are to run.

No test: tests.docs.test_commands runs them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

PROGRAMS = (
    *("kubectl", "helm", "berth", ".venv/bin/berth", "make", "python", "tools/model", "curl"),
    *("buildah", "docker", "kind", "k3s", "ctr", "./ctr", "oc", "talosctl"),
)
SHELL = ("", "sh", "bash", "console")
FENCE = re.compile(r"^\s*```(\w*)")
_PROGRAM = re.compile(rf"(?:\$ )?((?:[A-Z]+=\S+ )?(?:{'|'.join(map(re.escape, PROGRAMS))})\s.*)")
_COMMENT = re.compile(r"(?:^|\s+)#\s.*$")


@dataclass(frozen=True)
class Shown:
    """`line`: of the document, where it begins. `command`: without its comment, on one line."""

    document: str
    line: int
    command: str


def commands(name: str, document: str) -> Iterator[Shown]:
    """In their order. A line that ends with a backslash goes on in the next."""
    begun, before = 0, ""
    for number, line in _lines_of_code(document):
        text = f"{before} {line.strip()}".strip()
        begun = begun if before else number
        if text.endswith("\\"):
            before = text.removesuffix("\\").strip()
            continue
        before = ""
        if found := _PROGRAM.match(_COMMENT.sub("", text)):
            yield Shown(name, begun, found[1].strip())


def _lines_of_code(document: str) -> Iterator[tuple[int, str]]:
    """Of blocks that are indented by four spaces (six in a list), or fenced and not of another language."""
    language: str | None = None
    in_list, in_code, was_blank = False, False, True
    for number, line in enumerate(document.splitlines(), 1):
        if fence := FENCE.match(line):
            language = fence[1] if language is None else None
        elif language is not None:
            if language in SHELL:
                yield number, line
        elif line.strip():
            if not line.startswith(" "):
                in_list = bool(re.match(r"[-*] |\d+\. ", line))
            in_code = line.startswith(" " * (6 if in_list else 4)) and (was_blank or in_code)
            if in_code:
                yield number, line
        was_blank = not line.strip()


def strangers(document: str) -> Iterator[tuple[int, str]]:
    """Lines of blocks with commands that are none themselves, nor the rest of one, nor a comment."""
    shown = {one.line for one in commands("", document)}
    for block in _blocks(document):
        if not shown.isdisjoint(number for number, _ in block):
            before = ""
            for number, line in block:
                if number not in shown and not before.endswith("\\") and not line.lstrip().startswith("#"):
                    yield number, line.strip()
                before = line


def _blocks(document: str) -> Iterator[list[tuple[int, str]]]:
    block: list[tuple[int, str]] = []
    for number, line in _lines_of_code(document):
        if block and block[-1][0] + 1 != number:
            yield block
            block = []
        block.append((number, line))
    yield block
