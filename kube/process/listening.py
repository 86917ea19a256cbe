"""Where a program listens for kubelet and Prometheus: the options of its command line that both programs share, and
what is told when it can not."""

import argparse
from dataclasses import dataclass


@dataclass(frozen=True)
class Listening:
    """Addresses are HOST:PORT, `[::1]:port` for IPv6; "" = none. Without one of its own, health is told with the
    metrics. `is_secure`: metrics by HTTPS, and to those alone whom the API server lets `get` the path /metrics.
    `certificate_directory`: where tls.crt and tls.key are, "" = the program signs one for itself."""

    metrics: str = ""
    health: str = ""
    is_secure: bool = False
    certificate_directory: str = ""

    @property
    def is_wanted(self) -> bool:
        """Whether there is anything to listen for."""
        return bool(self.metrics or self.health)


NOWHERE = Listening()


class CannotListen(Exception):
    """Nobody can ask at the address that was given; the message says why, and what to do."""


def cannot_listen(error: BaseException) -> CannotListen | None:
    """That this is why a program ends, if it is; also among others that ended with it."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for one in error.exceptions if (found := cannot_listen(one)) is not None), None)
    return error if isinstance(error, CannotListen) else None


def add_arguments(parser: argparse.ArgumentParser, metrics: str) -> None:
    """The options, with `metrics` as the address of the metrics unless another one is given."""
    parser.add_argument("--metrics-listen", default=metrics, metavar="HOST:PORT", help="empty: none")
    parser.add_argument("--metrics-secure", action="store_true", help="HTTPS, to those who may get /metrics")
    parser.add_argument(
        "--metrics-certificate-dir", default="", metavar="DIRECTORY", help="tls.crt, tls.key; default: self-signed"
    )
    parser.add_argument("--health-listen", default="", metavar="HOST:PORT", help="default: with the metrics")


def listening_of(given: argparse.Namespace) -> Listening:
    """What the command line says."""
    return Listening(
        metrics=given.metrics_listen,
        health=given.health_listen,
        is_secure=given.metrics_secure,
        certificate_directory=given.metrics_certificate_dir,
    )
