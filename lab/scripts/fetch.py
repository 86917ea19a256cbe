"""Fetch a URL as a client on the lab's segment would, once or again and again, and tell what came of it.

Run by path with nothing but the standard library. One line of JSON for each attempt: `at` (CLOCK_MONOTONIC seconds,
the same clock for all processes of the machine), `seconds` it took, and `body` or `error`.
"""

import argparse
import http.client
import json
import time
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
    arguments.add_argument("url")
    arguments.add_argument("--timeout-seconds", type=float, default=2.0)
    arguments.add_argument("--every-seconds", type=float, help="go on, at this pace, until killed")
    options = arguments.parse_args()
    while True:
        begun = time.monotonic()
        print(json.dumps(fetch(options.url, options.timeout_seconds)), flush=True)
        if options.every_seconds is None:
            return
        time.sleep(max(0.0, begun + options.every_seconds - time.monotonic()))


if __name__ == "__main__":
    main()
