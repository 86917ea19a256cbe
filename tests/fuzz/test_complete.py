"""No decoder of the code is missing in the table."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.decoders import DECODERS
from tests.fuzz.inputs import CORPORA
from tests.mutations.planting import ROOT

ROOMS = ("allocator", "speaker", "kube", "crds", "cli")
TAKEN = {"raw", "frame", "datagram", "packet", "line", "body", "answer", "chunk", "data", "pem", "message"}
"""How a parameter is called that is bytes from elsewhere."""

ELSEWHERE = {
    "kube.process.io.certificate:context_of": "our own administrator's certificate, which OpenSSL reads",
    "speaker.wire.heartbeat.packets:_Signer.digest": "our own bytes, to be signed",
    "speaker.wire.heartbeat.packets:_parse": "by decode and Sender.receive, signed",
    "speaker.wire.heartbeat.io.sockets:Sockets.multicast": "our own bytes, to be sent",
    "speaker.wire.heartbeat.io.sockets:Sockets.unicast": "our own bytes, to be sent",
    "speaker.wire.heartbeat.io.sockets:SegmentSockets.send": "our own bytes, to be sent",
    "speaker.wire.bfd.io.sockets:Sender.send": "our own bytes, to be sent",
    "speaker.wire.discovery.io.sockets:LinkSocket.send": "our own bytes, to be sent",
    "speaker.wire.neighbours.io.port:Port.is_sent": "our own bytes, to be sent",
    "speaker.wire.netlink:attributes": "by all that read netlink",
    "speaker.wire.netlink:messages": "by all that read netlink",
    "speaker.wire.neighbours.networks:may_matter": "with Reading.take",
    "speaker.bgp.exabgp.answers:end_of_rib_name": "with Answers.take",
    "speaker.bgp.exabgp.answers:family_name": "with Answers.take",
    "speaker.bgp.exabgp.io.process:_Reader.data_received": "its lines go to events.parse",
}
"""Functions with such a parameter that are no decoders, or are called by one that is in the table."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> Iterator[tuple[str, ast.Module]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield str(path.relative_to(ROOT).with_suffix("")).replace("/", "."), ast.parse(path.read_text())


MODULES = dict(modules())
TABLE = {one.function for one in DECODERS}


def functions(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    for node in tree.body:
        if isinstance(node, Function):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{one.name}", one) for one in node.body if isinstance(one, Function))


def names_in(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def made_decoders(tree: ast.Module) -> Iterator[str]:
    """Names that a module gives to decoders: `_decode = decoder(T)`."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=function)):
                if ast.unparse(function) == "decoder" or ast.unparse(function).endswith("json.Decoder"):
                    yield name


def users(tree: ast.Module, name: str) -> set[str]:
    """The functions of the module that use it, by way of others too; and itself."""
    found = {name}
    for _ in range(5):
        found |= {one for one, node in functions(tree) if names_in(node) & {each.rpartition(".")[2] for each in found}}
    return found


def test_each_decoder_that_a_module_makes_is_called_by_one_of_the_table() -> None:
    missing = [
        f"{module}:{name}"
        for module, tree in MODULES.items()
        for name in made_decoders(tree)
        if not TABLE & {f"{module}:{one}" for one in users(tree, name)}
    ]
    assert missing == []


def test_each_function_that_takes_bytes_from_elsewhere_is_in_the_table() -> None:
    missing = [
        f"{module}:{name}"
        for module, tree in MODULES.items()
        for name, node in functions(tree)
        if not name.rpartition(".")[2].startswith("_") and takes_bytes(node) and f"{module}:{name}" not in TABLE
    ]
    assert [one for one in missing if one not in ELSEWHERE] == []


def takes_bytes(node: Function) -> bool:
    given = [one for one in node.args.args if one.arg not in ("self", "cls")][:1]
    return any(one.arg in TAKEN and one.annotation is not None and "bytes" in names_in(one.annotation) for one in given)


@pytest.mark.parametrize("function", [*TABLE, *ELSEWHERE])
def test_each_function_that_is_named_here_exists(function: str) -> None:
    module, _, name = function.partition(":")
    assert name in {*dict(functions(MODULES[module])), *made_decoders(MODULES[module])}


def test_no_corpus_is_left_over() -> None:
    assert {path.stem for path in Path(CORPORA).glob("*.txt")} == {one.corpus for one in DECODERS}
