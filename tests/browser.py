"""Pages as a browser shows them: headless Chromium loads one, runs its scripts, and tells what came of it.

No tests here. Chromium is a Debian package that `make setup` installs; a test that calls `look` is marked `slow`.
"""

import contextlib
import http.server
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

SECONDS = 60
"""For one look, on a machine that has much else to do."""
VIRTUAL_MILLISECONDS = 3000
"""So long a page has for its scripts and requests; the browser's clock skips what nothing happens in."""
CONSOLE = re.compile(r':(?:ERROR|WARNING|INFO):CONSOLE[^"]*"(.*)", source:')


@dataclass(frozen=True)
class Seen:
    """`dom`: the document after its scripts, as HTML. `console`: what it wrote to the console, errors among it."""

    dom: str
    console: tuple[str, ...]
    screenshot: Path


def look(url: str, screenshot: Path, *, width: int = 1280, height: int = 900) -> Seen:
    """Load this page, of `http:` or `file:`, and write a picture of its top (PNG).

    Raises: CalledProcessError, TimeoutExpired, and AssertionError where there is no picture.
    """
    with tempfile.TemporaryDirectory(prefix="berth-browser-") as profile:
        done = subprocess.run(
            [
                "chromium",
                "--headless",
                "--no-sandbox",  # it runs as root, and shows nothing but our own pages
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                "--enable-logging=stderr",
                f"--user-data-dir={profile}",
                f"--window-size={width},{height}",
                f"--virtual-time-budget={VIRTUAL_MILLISECONDS}",
                f"--screenshot={screenshot}",
                "--dump-dom",
                url,
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=SECONDS,
        )
    assert screenshot.exists(), done.stderr
    return Seen(done.stdout, tuple(CONSOLE.findall(done.stderr)), screenshot)


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The files of this folder by HTTP, on this machine alone; the URL without a slash at its end."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
