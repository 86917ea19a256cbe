"""Fetch a URL as a client on the lab's segment would, once or again and again, and tell what came of it.

Run by path with nothing but the standard library. One line of JSON for each attempt: `at` (CLOCK_MONOTONIC seconds,
the same clock for all processes of the machine), `seconds` it took, and `body` or `error`.
"""

import argparse
import http.client
import json
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit


def fetch(url: str, timeout_seconds: float) -> dict[str, object]:
    """One attempt, on a new connection."""
    begun = time.monotonic()
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout_seconds)
    try:
        connection.request("GET", parts.path or "/")
        outcome: dict[str, object] = {"body": connection.getresponse().read().decode().strip()}
    except (OSError, http.client.HTTPException) as error:
        outcome = {"error": str(error) or type(error).__name__}
    finally:
        connection.close()
    return {"at": begun, "seconds": time.monotonic() - begun, **outcome}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url", nargs="?")
    arguments.add_argument(
        "--listed-in", type=Path, help="all URLs of this file, side by side; it may change meanwhile"
    )
    arguments.add_argument("--timeout-seconds", type=float, default=2.0)
    arguments.add_argument("--every-seconds", type=float, help="go on, at this pace, until killed")
    options = arguments.parse_args()
    while True:
        begun = time.monotonic()
        if options.listed_in is None:
            print(json.dumps(fetch(options.url, options.timeout_seconds)), flush=True)
        else:
            fetch_listed(options.listed_in.read_text().split(), options.timeout_seconds)
        if options.every_seconds is None:
            return
        time.sleep(max(0.0, begun + options.every_seconds - time.monotonic()))


def fetch_listed(urls: list[str], timeout_seconds: float) -> None:
    """All of them at once; each one's line, with its `url`, as it ends."""

    def tell(url: str) -> None:
        sys.stdout.write(json.dumps({"url": url, **fetch(url, timeout_seconds)}) + "\n")
        sys.stdout.flush()

    threads = [threading.Thread(target=tell, args=[url]) for url in urls]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


if __name__ == "__main__":
    main()
