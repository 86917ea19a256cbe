"""Fetch a URL as a client on the lab's segment would, once or again and again, and tell what came of it.

Run by path with nothing but the standard library. One line of JSON for each attempt: `at` (CLOCK_MONOTONIC seconds,
the same clock for all processes of the machine), `seconds` it took, and `body` or `error`.
"""

import argparse
import http.client
import itertools
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

FIRST_PORT, PORTS = 1024, 31744
"""Those below the ones that kernels choose from."""


def fetch(url: str, timeout_seconds: float, own_port: int | None = None) -> dict[str, object]:
    """One attempt, on a new connection, from a port that the kernel chooses, or from this one."""
    begun = time.monotonic()
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    try:
        if own_port is not None:
            connection.sock = connected(host, port, timeout_seconds, own_port)
        connection.request("GET", parts.path or "/")
        outcome: dict[str, object] = {"body": connection.getresponse().read().decode().strip()}
    except (OSError, http.client.HTTPException) as error:
        outcome = {"error": str(error) or type(error).__name__}
    finally:
        connection.close()
    return {"at": begun, "seconds": time.monotonic() - begun, **outcome}


def connected(host: str, port: int, timeout_seconds: float, own_port: int) -> socket.socket:
    """Raises OSError. Several may have the same port of ours, to others."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.settimeout(timeout_seconds)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("", own_port))
        made.connect(address)
    except BaseException:
        made.close()
        raise
    return made


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url", nargs="?")
    arguments.add_argument(
        "--listed-in", type=Path, help="all URLs of this file, side by side; it may change meanwhile"
    )
    arguments.add_argument("--timeout-seconds", type=float, default=2.0)
    arguments.add_argument("--every-seconds", type=float, help="go on, at this pace, until killed")
    options = arguments.parse_args()
    own_ports = ports_anew(options.every_seconds)
    while True:
        begun, own_port = time.monotonic(), next(own_ports)
        if options.listed_in is None:
            print(json.dumps(fetch(options.url, options.timeout_seconds, own_port)), flush=True)
        else:
            fetch_listed(options.listed_in.read_text().split(), options.timeout_seconds, own_port)
        if options.every_seconds is None:
            return
        time.sleep(max(0.0, begun + options.every_seconds - time.monotonic()))


def ports_anew(every_seconds: float | None) -> Iterator[int | None]:
    """A port for each attempt, the same one again only after all others, and none that a former run had just now.

    The kernel's own choice is a series that begins somewhere else each 10 s: two of them may meet, and then a whole
    series of connections meets what nodes' conntrack knows of former ones, and with it their backends. None: once, the
    kernel may choose.
    """
    if every_seconds is None:
        yield None
        return
    for number in itertools.count(int(time.monotonic() / every_seconds)):
        yield FIRST_PORT + number % PORTS


def fetch_listed(urls: list[str], timeout_seconds: float, own_port: int | None) -> None:
    """All of them at once; each one's line, with its `url`, as it ends."""

    def tell(url: str) -> None:
        sys.stdout.write(json.dumps({"url": url, **fetch(url, timeout_seconds, own_port)}) + "\n")
        sys.stdout.flush()

    threads = [threading.Thread(target=tell, args=[url]) for url in urls]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


if __name__ == "__main__":
    main()
