"""The codes of `berth check`: what each means; docs/checks.md has a section for each. Pure."""

from enum import Enum
from typing import NamedTuple


class Severity(Enum):
    """How bad it is: an error keeps addresses from working, a warning may."""

    ERROR = "error"
    WARNING = "warning"


class Code(Enum):
    """By number: 01 Berth itself, 02 nodes, 03 pools, 04 advertisements, 05 BGP, 06 what else is in the cluster."""

    DEFINITIONS = ("BERTH0101", Severity.ERROR)
    RIGHTS = ("BERTH0102", Severity.ERROR)
    ALLOCATOR = ("BERTH0103", Severity.ERROR)
    SPEAKERS = ("BERTH0104", Severity.ERROR)
    NOT_READ = ("BERTH0105", Severity.WARNING)
    CLOCK = ("BERTH0106", Severity.WARNING)
    KUBERNETES = ("BERTH0107", Severity.ERROR)
    ALL_EXCLUDED = ("BERTH0201", Severity.ERROR)
    POOL_INVALID = ("BERTH0301", Severity.ERROR)
    POOLS_OVERLAP = ("BERTH0302", Severity.WARNING)
    NODE_ADDRESSES = ("BERTH0303", Severity.WARNING)
    NOT_ADVERTISED = ("BERTH0304", Severity.WARNING)
    NO_POOL = ("BERTH0305", Severity.WARNING)
    UNKNOWN_NAME = ("BERTH0401", Severity.ERROR)
    SELECTS_NO_NODE = ("BERTH0402", Severity.ERROR)
    NOT_IN_USE = ("BERTH0403", Severity.WARNING)
    PEER_DOWN = ("BERTH0501", Severity.ERROR)
    IPVS = ("BERTH0601", Severity.ERROR)
    SERVICELB = ("BERTH0602", Severity.WARNING)
    METALLB = ("BERTH0603", Severity.WARNING)
    UNREADABLE = ("BERTH0701", Severity.ERROR)

    @property
    def number(self) -> str:
        """As BERTH0101."""
        return str(self.value[0])

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return self.value[1]


class Found(NamedTuple):
    """`about`: the object, as IPPool/edge; empty for the cluster."""

    code: Code
    about: str
    message: str
