"""What a document may name, and whether the repository has it: files, tests, modules, values, metrics, commands.

No test: tests.docs.test_documents asks it about each document. It reads files and imports nothing of Berth.
"""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

Fault = tuple[int, str]
"""The line, and what is wrong in it."""

TOPS = ("allocator", "bench", "charts", "cli", "crds", "docs", "kube", "lab", "packages", "speaker", "tests", "tools")
PRODUCT = ("allocator", "cli", "crds", "kube", "lab", "speaker")
FOREIGN_CLASSES = frozenset({"ApiClient"})

SPAN = re.compile(r"`([^`\n]+)`")
_TOPS = "|".join(TOPS)
PATH = re.compile(rf"(?<![\w/.:-])(?:{_TOPS})/[\w./*-]*[\w/*](?:::\w+)?")
TEST = re.compile(r"(?:\w+/)*test_\w+\.py(?:::\w+)?")
MODULE = re.compile(rf"(?:{'|'.join(PRODUCT)}|bench|tests)(?:\.\w+)+")
MEMBER = re.compile(r"[A-Z]\w*(?:\.\w+)+")
METRIC = re.compile(r"berth_[a-z0-9_]+\*?")
RUN = re.compile(r"python -m ([\w.]+)")
MAKE = re.compile(r"(?:^ {4}|`)make ([a-z][a-z-]+)")


class Repository:
    """`files`: paths relative to the root, of all that can be named. Read once, at the first question."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @cached_property
    def files(self) -> dict[str, Path]:
        found = [path for path in self._root.iterdir() if path.is_file() or path.name in TOPS]
        for top in TOPS:
            found += [path for path in (self._root / top).rglob("*") if "__pycache__" not in path.parts]
        return {path.relative_to(self._root).as_posix(): path for path in found}

    @cached_property
    def test_files(self) -> list[str]:
        return sorted(name for name in self.files if name.startswith("tests/") and name.endswith(".py"))

    @cached_property
    def sources(self) -> dict[str, str]:
        """The text of all Python modules and of the chart, by path."""
        return {name: path.read_text() for name, path in self.files.items() if path.suffix in {".py", ".yaml", ".tpl"}}

    @cached_property
    def documents(self) -> dict[str, str]:
        return {name: path.read_text() for name, path in sorted(self.files.items()) if path.suffix == ".md"}

    @cached_property
    def values(self) -> dict[str, Any]:
        """The chart's values: `speaker.metrics.address` in a document is one of these, and no module."""
        loaded: dict[str, Any] = yaml.safe_load(self.files["charts/berth/values.yaml"].read_text())
        return loaded

    @cached_property
    def classes(self) -> dict[str, list[str]]:
        """The texts of the modules that define a class, by the name of the class."""
        found: dict[str, list[str]] = {}
        for text in self.sources.values():
            for name in re.findall(r"^class (\w+)", text, re.MULTILINE):
                found.setdefault(name, []).append(text)
        return found

    @cached_property
    def product(self) -> str:
        return "\n".join(text for name, text in self.sources.items() if name.startswith(PRODUCT))

    def faults(self, document: str) -> Iterator[Fault]:
        """Of what this text names."""
        for number, line in enumerate(document.splitlines(), 1):
            for what in self._of_line(line):
                yield number, what

    def _of_line(self, line: str) -> Iterator[str]:
        yield from (fault for path in PATH.findall(line) for fault in self._path(path))
        for name in RUN.findall(line):
            if name.startswith((*PRODUCT, "bench", "tests")) and self._module_of(name.split("."))[1]:
                yield f"no such module: {name}"
        yield from (
            f"no such target in the Makefile: {name}" for name in MAKE.findall(line) if not self._has_target(name)
        )
        for span in SPAN.findall(line):
            name = re.sub(r"\[\w+\]$", "", span)
            if TEST.fullmatch(name) and not PATH.fullmatch(name):
                yield from self._path(name)
            elif MODULE.fullmatch(name):
                yield from self._dotted(name)
            elif MEMBER.fullmatch(name):
                yield from self._member(name)
            for metric in METRIC.findall(span):
                yield from self._metric(metric)

    def _path(self, name: str) -> Iterator[str]:
        path, _, test = name.partition("::")
        found = self._meant_by(path.rstrip("/"))
        if not found:
            yield f"no such file: {path}"
        elif len(found) > 1 and "*" not in path:
            yield f"several files are called {path}, write the path out: {', '.join(found)}"
        elif test and not defines(self.sources.get(found[0], ""), test):
            yield f"no such test in {found[0]}: {test}"

    def _meant_by(self, path: str) -> list[str]:
        """What has this path, or fits it; else the test files whose paths end with it."""
        if "*" in path:
            return [name for name in self.files if fnmatchcase(name, path)]
        if path in self.files:
            return [path]
        return [name for name in self.test_files if name.endswith("/" + path)] if TEST.fullmatch(path) else []

    def _dotted(self, name: str) -> Iterator[str]:
        if self._is_value(name):
            return
        module, rest = self._module_of(name.split("."))
        missing = [one for one in rest if not defines(self.sources.get(module, ""), one)]
        if missing and not module.endswith(".py"):
            yield f"no such module, and no such value of the chart: {name}"
        else:
            yield from (f"no such name in {module}: {one}" for one in missing)

    def _module_of(self, parts: list[str]) -> tuple[str, list[str]]:
        """The file or folder of the longest part that is a module, and what is left."""
        for end in range(len(parts), 0, -1):
            path = "/".join(parts[:end])
            for found in (f"{path}.py", path):
                if found in self.files:
                    return found, parts[end:]
        return "", parts

    def _is_value(self, name: str) -> bool:
        at: Any = self.values
        for part in name.split("."):
            if not isinstance(at, dict) or part not in at:
                return False
            at = at[part]
        return True

    def _member(self, name: str) -> Iterator[str]:
        """`Class.member`, of a class of ours that is named so once at least."""
        owner, *rest = name.split(".")
        if owner in FOREIGN_CLASSES:
            return
        homes = self.classes.get(owner, [])
        if not homes:
            yield f"no such class: {owner}"
        elif not any(all(defines(home, one) for one in rest) for home in homes):
            yield f"class {owner} has nothing called so: {'.'.join(rest)}"

    def _metric(self, name: str) -> Iterator[str]:
        if name.removesuffix("_total").rstrip("*") not in self.product:
            yield f"no such metric: {name}"

    def _has_target(self, name: str) -> bool:
        makefile = self.files["Makefile"].read_text()
        return re.search(rf"^{name}:|^\.PHONY:.*\b{name}\b", makefile, re.MULTILINE) is not None


def defines(text: str, name: str) -> bool:
    """Whether this source has a function, class, constant, field or attribute of that name."""
    return re.search(rf"\b(?:def|class) {name}\b|\b{name}\s*[:=]", text) is not None
