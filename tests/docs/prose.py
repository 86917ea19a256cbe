"""How a document's source is laid out: one sentence a line, no long lines, links that lead somewhere.

No test: tests.docs.test_documents asks it about each document.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping

Fault = tuple[int, str]
"""The line, and what is wrong in it."""

MAX_CHARACTERS = 120
GENERATED = "<!-- Made by"
ABBREVIATIONS = ("e.g.", "i.e.", "etc.", "vs.", "...", "…")

FENCE = re.compile(r"^\s*```")
CODE = re.compile(r"^ {4,}(?![-*\d])\S")
LABEL = re.compile(r"^\s*(?:[-*>]|\d+\.)?\s*(?:\*\*.+?\*\*)?")
SPAN = re.compile(r"`[^`]*`")
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
END = re.compile(r"\S*[.!?][)\"”*]*(?=\s+[\"“(*\[]*[A-Z])")
WHO = re.compile(r"(?:^|[.:;]\s)(?:Who|Whoever|who|whoever) (?!has \d)[^?]*$")


def lines_of_prose(document: str) -> Iterator[tuple[int, str]]:
    """Without code blocks; headings and tables are in."""
    in_fence = in_code = False
    was_blank, in_list = True, False
    for number, line in enumerate(document.splitlines(), 1):
        if FENCE.match(line):
            in_fence = not in_fence
            continue
        if line.strip():
            if not line.startswith(" "):
                in_list = bool(re.match(r"[-*] |\d+\. ", line))
            in_code = bool(CODE.match(line)) and not in_list and (was_blank or in_code)
        was_blank = not line.strip()
        if not in_fence and not in_code and line.strip():
            yield number, line


def faults_of_layout(document: str) -> Iterator[Fault]:
    """Tables may be as wide as their cells. A long sentence may go on in the next line; two may not share one."""
    if GENERATED in document:
        return
    for number, line in lines_of_prose(document):
        if line.lstrip().startswith("|"):
            continue
        if len(line) > MAX_CHARACTERS:
            yield number, f"{len(line)} characters, at most {MAX_CHARACTERS}"
        if line.startswith("#"):
            continue
        text = SPAN.sub("X", LINK.sub(r"\1", LABEL.sub("", line, count=1)))
        for end in END.findall(text):
            if not end.endswith(ABBREVIATIONS):
                yield number, f"one sentence a line: break it after “{end}”"
        if WHO.search(text):
            yield number, "name the subject instead of “who”"


def anchors(document: str) -> set[str]:
    """Of its headings, as GitHub makes them."""
    found: set[str] = set()
    for _, line in lines_of_prose(document):
        if heading := re.match(r"#+ +(.*)", line):
            text = LINK.sub(r"\1", heading[1]).replace("`", "").lower()
            slug = re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")
            count, name = 0, slug
            while name in found:
                count += 1
                name = f"{slug}-{count}"
            found.add(name)
    return found


def faults_of_links(name: str, documents: Mapping[str, str], files: Mapping[str, object]) -> Iterator[Fault]:
    """Of the document `name`. `documents`: texts by path. `files`: what a link can lead to, by path."""
    for number, line in lines_of_prose(documents[name]):
        for _, target in LINK.findall(line):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            to = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
            if to not in files:
                yield number, f"the link leads nowhere: {target}"
            elif anchor and anchor not in anchors(documents.get(to, "")):
                yield number, f"no such heading in {to}: #{anchor}"
