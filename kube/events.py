"""Kubernetes Events about transitions: aggregated, rate limited, and never in the way of the main work.

Loses Events rather than wait: they are hints to humans, and conditions carry the state.
"""

from dataclasses import dataclass
from typing import Literal

from kube.client import Client
from kube.metrics import UNCOUNTED, Metrics


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """The object an Event is about; `namespace` is None for cluster-scoped ones."""

    api_version: str
    kind: str
    name: str
    namespace: str | None = None
    uid: str = ""
    resource_version: str = ""


class EventRecorder:
    """`component` is shown as From in `kubectl describe`; `instance` says which process."""

    def __init__(self, client: Client, component: str, instance: str, *, metrics: Metrics = UNCOUNTED) -> None:
        raise NotImplementedError

    def record(self, ref: ObjectRef, type: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Queue an Event. Never blocks, never raises; when the queue is full the oldest is dropped and counted."""

    async def run(self) -> None:
        """Send what is queued, until cancelled."""

    async def drain(self, timeout_seconds: float) -> None:
        """Send what is queued while `run` is not running: for a clean stop."""
