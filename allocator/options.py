"""How an allocator is run. Values only; the command line takes its defaults from here."""

from dataclasses import dataclass

from crds.names import FINALIZER, FINALIZER_BESIDE_CLOUD


@dataclass(frozen=True)
class Options:
    """How to run one allocator. `identity` is unique to the process: it is what the Lease of the leader shows.

    `load_balancer_class` None: Services without a class are served. `former_finalizers`: names that `finalizer` may
    have had before. `fence_after_seconds`: how long at least a speaker must be silent before it counts as fenced.
    `heartbeat_secret`: the Secret with the speakers' keys, made when it is missing; "" = none is made. `has_speakers`:
    Berth announces; else another program does, and nothing is said of that. `concurrency`: API writes in flight. More
    gains nothing, since an API server takes about 950 a second in all.
    """

    namespace: str
    identity: str
    load_balancer_class: str | None = None
    finalizer: str = FINALIZER
    former_finalizers: tuple[str, ...] = (FINALIZER, FINALIZER_BESIDE_CLOUD)
    fence_after_seconds: float = 60.0
    lease_duration_seconds: float = 15.0
    heartbeat_secret: str = ""
    has_speakers: bool = True
    concurrency: int = 64
