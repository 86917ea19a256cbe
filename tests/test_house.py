"""The house rules that no tool checks: modules outside `io` reach no I/O by any way, and rooms stand in layers.

Rooms are the folders and modules of one folder. Which module is pure follows from its place alone, so nothing has to be
listed here (docs/decisions/009).
"""

import graphlib
from collections.abc import Iterable
from functools import cache

import grimp
import pytest

PACKAGES = ("allocator", "cli", "crds", "kube", "lab", "speaker")
PURE_PACKAGES = ("allocator", "crds", "kube", "speaker")

IO_LIBRARIES = frozenset(
    {
        "aiohttp",
        "asyncio",
        "kubernetes",
        "os",
        "prometheus_client",
        "random",
        "socket",
        "structlog",
        "subprocess",
        "time",
    }
)


@cache
def project() -> grimp.ImportGraph:
    return grimp.build_graph(
        *PACKAGES, include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )


def does_io(module: str) -> bool:
    """By its name: it is a library that does, or lies in a folder that may, or is a program."""
    parts = module.split(".")
    return parts[0] in IO_LIBRARIES or "io" in parts or parts[-1] == "__main__"


def ways_to_io(graph: grimp.ImportGraph, package: str) -> list[str]:
    """For each pure module that reaches I/O the shortest way to it, as "a -> b -> c"."""
    forbidden = [module for module in graph.modules if does_io(module)]
    ways: dict[str, tuple[str, ...]] = {}
    for target in forbidden:
        for module in graph.find_downstream_modules(target):
            if module.split(".")[0] != package or does_io(module):
                continue
            way = graph.find_shortest_chain(importer=module, imported=target)
            if way is not None and (module not in ways or len(way) < len(ways[module])):
                ways[module] = way
    return [" -> ".join(ways[module]) for module in sorted(ways)]


def circles(graph: grimp.ImportGraph, package: str) -> list[str]:
    """One circle for each folder, from the top down, whose rooms need each other, as "a -> b -> a"."""
    folders = [package, *(one for one in graph.find_descendants(package) if graph.find_children(one))]
    found = (circle(graph, folder) for folder in sorted(folders))
    return [" -> ".join(rooms) for rooms in found if rooms]


def circle(graph: grimp.ImportGraph, folder: str) -> list[str]:
    """Rooms of this folder that need each other, each imported by the next; [] when they stand in layers."""
    rooms = graph.find_children(folder)
    within = {module: room for room in rooms for module in (room, *graph.find_descendants(room))}
    needs: dict[str, set[str]] = {room: set() for room in rooms}
    for module, room in within.items():
        for imported in graph.find_modules_directly_imported_by(module):
            if within.get(imported, room) != room:
                needs[room].add(within[imported])
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def graph_of(*imports: tuple[str, str]) -> grimp.ImportGraph:
    """A project with these imports, each as (who, whom), and the packages that their names need."""
    graph = grimp.ImportGraph()
    for module in {name for pair in imports for name in _with_parents(*pair)}:
        graph.add_module(module)
    for importer, imported in imports:
        graph.add_import(importer=importer, imported=imported)
    return graph


def _with_parents(*modules: str) -> Iterable[str]:
    for module in modules:
        parts = module.split(".")
        yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


@pytest.mark.parametrize("package", PURE_PACKAGES)
def test_what_is_not_in_an_io_folder_reaches_no_io(package: str) -> None:
    assert ways_to_io(project(), package) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_rooms_stand_in_layers(package: str) -> None:
    assert circles(project(), package) == []


def test_a_pure_module_that_reaches_io_is_found_with_its_way() -> None:
    planted = graph_of(
        ("allocator.plan", "time"),
        ("allocator.policy", "allocator.sharing"),
        ("allocator.sharing", "allocator.space.spans"),
        ("allocator.space.spans", "allocator.io.writer"),
        ("allocator.io.writer", "asyncio"),
        ("allocator.__main__", "asyncio"),
        ("allocator.claims", "ipaddress"),
    )
    assert ways_to_io(planted, "allocator") == [
        "allocator.plan -> time",
        "allocator.policy -> allocator.sharing -> allocator.space.spans -> allocator.io.writer",
        "allocator.sharing -> allocator.space.spans -> allocator.io.writer",
        "allocator.space.spans -> allocator.io.writer",
    ]


def test_rooms_that_need_each_other_are_found_at_any_depth() -> None:
    planted = graph_of(
        ("speaker.layer2.desired", "speaker.members.election"),
        ("speaker.members.io.heartbeats", "speaker.layer2.decisions"),
        ("speaker.bgp.exabgp.session", "speaker.bgp.model"),
        ("speaker.bgp.exabgp.io.runner", "speaker.bgp.exabgp.session"),
        ("speaker.bgp.exabgp.session", "speaker.bgp.exabgp.io.driver"),
    )
    assert [set(one.split(" -> ")) for one in circles(planted, "speaker")] == [
        {"speaker.layer2", "speaker.members"},
        {"speaker.bgp.exabgp.io", "speaker.bgp.exabgp.session"},
    ]
    assert circles(graph_of(("kube.lease.io.election", "kube.lease.elector")), "kube") == []
