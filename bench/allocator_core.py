"""What taking and freeing an address costs in the pure core, and that it does not grow with the pool.

`python -m bench.allocator_core`: JSON lines with nanoseconds per operation, one operation being a take or a free. The
free space is tried alone and inside a ledger with records; the pools range from a /24 to a /64 that is 99% full and
whose free rest lies in up to 650,000 intervals.
"""

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from allocator.claims import Claim, Holder, Port
from allocator.ledger import Entry, Ledger
from allocator.space.intervals import FreeSpace
from allocator.space.pools import compile_pools
from allocator.space.ranges import address_at
from allocator.space.spans import Span, Spans
from bench.measure import tell
from crds.addresses import Family
from crds.types import IPPool
from kube.objects import ServiceKey

OPERATIONS = 100_000
REPEATS = 5
HELD = 1_000
"""At most so many addresses are held by the benchmark itself, so that small pools are not exhausted."""


def holes(prefix: int, count: int) -> list[Span]:
    """The free hundredth of a network, in that many intervals of equal size."""
    size = 1 << (128 - prefix)
    step = size // count
    return [(at, at + step // 100 - 1) for at in range(0, step * count, step)]


SPACES: dict[str, Callable[[], list[Span]]] = {
    "/24 empty": lambda: [(0, 255)],
    "/16 empty": lambda: [(0, 65_535)],
    "/16 every second address taken": lambda: [(at, at) for at in range(0, 65_536, 2)],
    "/8 empty": lambda: [(0, 2**24 - 1)],
    "/64 empty": lambda: [(0, 2**64 - 1)],
    "/64 99% full, 1,000 intervals": lambda: holes(64, 1_000),
    "/64 99% full, 65,000 intervals": lambda: holes(64, 65_000),
    "/64 99% full, 650,000 intervals": lambda: holes(64, 650_000),
}


def lowest_first(space: FreeSpace, _: Spans, rng: random.Random) -> Iterator[None]:
    """Take the lowest; free any."""
    held: list[int] = []
    while True:
        if len(held) < min(HELD, 200) or (rng.random() < 0.5 and len(held) < HELD and space.count > 50):
            number = space.lowest
            assert number is not None
            space.take(number)
            held.append(number)
        else:
            at = rng.randrange(len(held))
            held[at], held[-1] = held[-1], held[at]
            space.free(held.pop())
        yield


def anywhere(space: FreeSpace, spans: Spans, rng: random.Random) -> Iterator[None]:
    """Take the next free one after a random one, as Sticky and Random do; free any."""
    held: list[int] = []
    while True:
        if len(held) < min(HELD, 100) or (rng.random() < 0.5 and len(held) < HELD and space.count > 50):
            number = space.at_or_after(spans.nth(rng.randrange(spans.capacity)))
            number = space.lowest if number is None else number
            assert number is not None
            space.take(number)
            held.append(number)
        else:
            at = rng.randrange(len(held))
            held[at], held[-1] = held[-1], held[at]
            space.free(held.pop())
        yield


def in_ledger(pool: IPPool) -> Iterator[None]:
    """Reserve the lowest address of a pool for a Service, and free any, with all the ledger's indexes."""
    book = Ledger()
    book.set_pools(compile_pools([pool]))
    (compiled,) = book.pools.in_order
    family = Family.IPv6 if compiled.has(Family.IPv6) else Family.IPv4
    rng, number = random.Random(1), 0
    entries: list[Entry] = []
    while True:
        if len(entries) < 200 or (rng.random() < 0.5 and len(entries) < HELD):
            number += 1
            lowest = book.free_in(compiled, family).lowest
            assert lowest is not None
            holder = Holder(ServiceKey("default", f"s{number}"), f"u{number}", (Port("TCP", 80),))
            entries.append(book.reserve(Claim(address_at(family, lowest), compiled.name, (holder,))))
        else:
            at = rng.randrange(len(entries))
            entries[at], entries[-1] = entries[-1], entries[at]
            book.free(entries.pop(), 0.0)
        yield


def nanoseconds(make: Callable[[], Iterator[None]]) -> float:
    """CPU time per operation: the best of some runs, on fresh state each, since other work only ever adds."""
    found = []
    for _ in range(REPEATS):
        work = make()
        for _ in range(500):
            next(work)
        began = time.process_time_ns()
        for _ in range(OPERATIONS):
            next(work)
        found.append((time.process_time_ns() - began) / OPERATIONS)
    return min(found)


def report(what: str, costs: Iterable[tuple[str, float]]) -> None:
    """One line each; the ratio is to the first."""
    base = 0.0
    for space, cost in costs:
        base = base or cost
        figures = {"ns_per_operation": round(cost), "ratio": round(cost / base, 2)}
        tell("allocator_core", what=what, space=space, operations=OPERATIONS, **figures)


def space_costs(work: Callable[[FreeSpace, Spans, random.Random], Iterator[None]]) -> Iterator[tuple[str, float]]:
    for name, make in SPACES.items():
        spans = Spans(make())
        yield name, nanoseconds(lambda spans=spans: work(FreeSpace(spans.spans), spans, random.Random(1)))  # type: ignore[misc]


def ledger_costs() -> Iterator[tuple[str, float]]:
    for text in ("10.0.0.0/20", "10.0.0.0/16", "10.0.0.0/8", "2001:db8::/64"):
        pool = IPPool.decode(json.dumps({"metadata": {"name": "edge"}, "spec": {"addresses": [text]}}))
        yield text, nanoseconds(partial(in_ledger, pool))


def main() -> None:
    report("take lowest / free any", space_costs(lowest_first))
    report("take anywhere / free any", space_costs(anywhere))
    report("ledger: reserve / free", ledger_costs())


if __name__ == "__main__":
    main()
