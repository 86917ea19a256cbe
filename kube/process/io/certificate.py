"""The certificate that metrics are served with: read from a folder again and again, or made once at the start.

A Secret that changes is mounted anew. What can not be used leaves the one in place that was there before.
"""

import asyncio
import os
import ssl
import sys
from pathlib import Path

import structlog

READ_SECONDS = 30.0
MADE_WITHIN_SECONDS = 60.0
MOST_BYTES = 1 << 20
"""The most that a Secret holds."""

log = structlog.get_logger()


class Certificate:
    """`context`: for connections that begin now; None as long as there is no certificate."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._pem = b""
        self._fault = ""
        self.context: ssl.SSLContext | None = None

    async def follow(self, every_seconds: float = READ_SECONDS) -> None:
        """Until cancelled where it is read from a folder; else until one is made."""
        while True:
            try:
                await self._renew()
                self._fault = ""
            except (OSError, ValueError, TimeoutError) as error:
                self._tell(str(error) or type(error).__name__)
            if self.context is not None and not self._directory:
                return
            await asyncio.sleep(every_seconds)

    async def _renew(self) -> None:
        pem = await (asyncio.to_thread(read_pair, Path(self._directory)) if self._directory else make_pair())
        if pem != self._pem:
            self.context = await asyncio.to_thread(context_of, pem)
            log.info("metrics are served with a certificate", source=self._directory or "made by this program itself")
            self._pem = pem

    def _tell(self, fault: str) -> None:
        """Once for each fault."""
        if fault == self._fault:
            return
        self._fault = fault
        instead = "the one before is used" if self.context is not None else "nobody can read them"
        log.error("no certificate to serve metrics with", meanwhile=instead, error=fault)


def read_pair(directory: Path) -> bytes:
    """Certificate, chain and key in one text. Raises OSError, and ValueError for files that are too large."""
    parts = []
    for name in ("tls.crt", "tls.key"):
        with (directory / name).open("rb") as file:
            parts.append(file.read(MOST_BYTES + 1))
        if len(parts[-1]) > MOST_BYTES:
            raise ValueError(f"{directory / name} is too large")
    return b"\n".join(parts)


async def make_pair() -> bytes:
    """By a process of its own. Raises OSError and TimeoutError."""
    command = [sys.executable, "-m", "kube.process.io.selfsigned"]
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=-1, stderr=-1)
    try:
        async with asyncio.timeout(MADE_WITHIN_SECONDS):
            pem, said = await process.communicate()
    except BaseException:
        process.kill()
        raise
    if process.returncode != 0:
        raise OSError(f"none could be made: {said.decode(errors='replace').strip().rpartition(chr(10))[2]}")
    return pem


def context_of(pem: bytes) -> ssl.SSLContext:
    """Raises ssl.SSLError, an OSError, when key and certificate do not belong together, and ValueError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # ssl takes names of files alone; this one has no name and is on no disk.
    with os.fdopen(os.memfd_create("certificate", os.MFD_CLOEXEC), "wb") as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password=_no_password)
    return context


def _no_password() -> str:
    """For a key that is encrypted; without this, ssl would ask on the terminal."""
    return ""
