"""YAML and JSON in and out: objects from files, folders and standard input, and ours with comments."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from cli.asread import documents
from cli.failure import Failed
from cli.migrate.told import PASSWORD_KEY, PASSWORDS, Body, Converted, Made, Password

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"


def read_documents(paths: Sequence[str]) -> list[Body]:
    """All objects in them, those of lists one by one; of a folder its files of YAML and JSON. Raises Failed."""
    return [body for path in paths for text in _texts(path) for body in _objects(path, text)]


def _texts(path: str) -> Iterator[str]:
    try:
        if path == STDIN:
            yield sys.stdin.read()
        elif Path(path).is_dir():
            yield from (one.read_text() for one in sorted(Path(path).iterdir()) if one.suffix in SUFFIXES)
        else:
            yield Path(path).read_text()
    except (OSError, ValueError) as error:
        raise Failed(f"{path} can't be read: {error}") from error


def _objects(path: str, text: str) -> Iterator[Body]:
    try:
        found = documents(text)
    except (yaml.YAMLError, ValueError) as error:
        raise Failed(f"{path} can't be read: {' '.join(str(error).split())[:400]}") from error
    for one in found:
        items = one.get("items") if isinstance(one, dict) and str(one.get("kind", "")).endswith("List") else [one]
        yield from (each for each in items or () if isinstance(each, dict))


def written(converted: Converted, *, is_paused: bool) -> str:
    """As `kubectl apply` takes it. `is_paused`: pools give out nothing new until somebody ends that."""
    head = ["# Converted from MetalLB's objects by `berth migrate metallb`."]
    head += [f"# {note}" for note in converted.notes]
    head += [f"# Left out: {one}" for one in converted.refused]
    if converted.passwords:
        head += [f"# Passwords of peers go to a Secret: kubectl create secret generic {PASSWORDS} -n berth-system"]
    head += [f"#   {how_to_copy(one)}" for one in converted.passwords]
    return "\n".join(["\n".join(head), *(_document(one, is_paused=is_paused) for one in converted.made)]) + "\n"


def how_to_copy(password: Password) -> str:
    """What to do about it, without it."""
    if password.secret is None:
        where = f"bgppeers.metallb.io {password.peer} -n metallb-system -o jsonpath='{{.spec.password}}' | base64 -w0"
    else:
        namespace, name = password.secret
        where = f"secret {name} -n {namespace} -o jsonpath='{{.data.{PASSWORD_KEY}}}'"
    return (
        f"kubectl patch secret {PASSWORDS} -n berth-system --type=merge "
        f'-p "{{\\"data\\":{{\\"{password.peer}\\":\\"$(kubectl get {where})\\"}}}}"'
    )


def _document(made: Made, *, is_paused: bool) -> str:
    wire = made.to_wire()
    if is_paused and made.kind == "IPPool":
        wire["spec"] = wire["spec"] | {"paused": True}
    comments = [f"# {text}" for text in (f"from {made.source}", *made.notes)]
    body = yaml.safe_dump(wire, sort_keys=False, allow_unicode=True, width=120).rstrip()
    return "\n".join(["---", *comments, body])
