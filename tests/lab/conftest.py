"""Sandboxes for the lab's own tests: as root and rootless, each where this machine allows it."""

import os
from collections.abc import Callable, Iterator

import pytest

from lab.net.netns import Sandbox, Unsupported


@pytest.fixture(params=["as-root", "rootless"])
def open_sandbox(request: pytest.FixtureRequest) -> Iterator[Callable[[], Sandbox]]:
    """Makes sandboxes that are closed after the test."""
    rootless = request.param == "rootless"
    if not rootless and os.geteuid() != 0:
        pytest.skip("only root makes namespaces without a user namespace")
    opened: list[Sandbox] = []

    def open_one() -> Sandbox:
        try:
            opened.append(Sandbox.open(rootless=rootless))
        except Unsupported as refused:
            pytest.skip(str(refused))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture
def sandbox(open_sandbox: Callable[[], Sandbox]) -> Sandbox:
    return open_sandbox()
