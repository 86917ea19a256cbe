"""What is asked of a node's proxy, and what it may say, as values.

    GET http://<a node's InternalIP>:<a Service's healthCheckNodePort>/
    200  this proxy has written its rules, and an endpoint that is ready is on its node
    503  it has not, or none is

So kube-proxy answers (pkg/proxy/healthcheck), and CNIs that stand in for it, for load balancers outside of the cluster.
"""

from enum import Enum
from typing import NamedTuple


class Question(NamedTuple):
    """`host`: an IP address; `port`: a Service's healthCheckNodePort."""

    host: str
    port: int


class Answer(Enum):
    """What came of it."""

    READY = "Ready"
    """200."""
    NOT_READY = "NotReady"
    """Another status, or none in time."""
    REFUSED = "Refused"
    """Nothing listens there."""


class ProxyAnswered(NamedTuple):
    """A proxy was asked."""

    question: Question
    answer: Answer
