"""A planted fault as a value: where it is, which rule it breaks, and what finds it."""

from dataclasses import dataclass

from tests.mutations.edits import Edit


@dataclass(frozen=True)
class Story:
    """A story of tests/protocol/stories.py, by its name: those that differ in their seconds alone are one. `why`: what
    hides the fault from the simulation."""

    name: str
    why: str = ""

    def __str__(self) -> str:
        return f"the story {self.name}"


@dataclass(frozen=True)
class Test:
    """A test of the suite, as pytest names it. `why`: what hides the fault from stories, and from the simulation."""

    __test__ = False

    name: str
    why: str

    def __str__(self) -> str:
        return f"the test {self.name}"


@dataclass(frozen=True)
class Seed:
    """A life of tests/sim, by its seed."""

    number: int

    @property
    def word(self) -> str:
        return str(self.number)

    def __str__(self) -> str:
        return f"seed {self.number}"


@dataclass(frozen=True)
class Written:
    """A life of tests/sim that was written down: a scenario, by its name."""

    name: str

    @property
    def word(self) -> str:
        return self.name

    def __str__(self) -> str:
        return f"the scenario {self.name}"


Life = Seed | Written
Finder = Story | Test | Life


@dataclass(frozen=True)
class Mutation:
    """`rule`: what the code does, and does not with the fault. `function`: "package.module:Class.method"."""

    name: str
    rule: str
    function: str
    edits: tuple[Edit, ...]
    finder: Story | Test

    @property
    def module(self) -> str:
        return self.function.partition(":")[0]

    @property
    def qualified_name(self) -> str:
        """Of the function within its module."""
        return self.function.partition(":")[2]
