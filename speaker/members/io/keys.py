"""Reads the keys of the heartbeats from their folder, again and again: a Secret that changes is mounted anew."""

import asyncio
from collections.abc import Callable
from pathlib import Path

SIGNING_KEY, OTHER_KEYS = "key", ("next", "previous")
LEAST_KEY_BYTES = 16
"""RFC 2104 §3 advises against keys shorter than the hash; half of that is still too much to guess."""
MOST_KEY_BYTES = 128
"""HMAC-SHA256 hashes what is longer than 64 bytes, so more adds nothing; three of them travel in one order."""
READ_SECONDS = 3.0


class KeysError(Exception):
    """The folder has no usable keys; the message says which file and why."""


def read_keys(directory: Path) -> tuple[bytes, ...]:
    """The keys, the signing key first, without white space around them. Raises KeysError."""
    keys = [_read_key(directory / SIGNING_KEY)]
    keys += [_read_key(path) for name in OTHER_KEYS if (path := directory / name).exists()]
    return tuple(dict.fromkeys(keys))


def _read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            key = file.read(MOST_KEY_BYTES + 1).strip()
    except OSError as error:
        raise KeysError(f"{path}: {error.strerror}") from None
    if not LEAST_KEY_BYTES <= len(key) <= MOST_KEY_BYTES:
        raise KeysError(f"{path}: a key has {LEAST_KEY_BYTES} to {MOST_KEY_BYTES} bytes, this one {len(key)}")
    return key


async def follow_keys(
    directory: Path, on_keys: Callable[[tuple[bytes, ...]], None], on_fault: Callable[[str], None]
) -> None:
    """Read until cancelled; each reading ends in one of the two calls."""
    while True:
        try:
            keys = await asyncio.to_thread(read_keys, directory)
        except KeysError as error:
            on_fault(str(error))
        else:
            on_keys(keys)
        await asyncio.sleep(READ_SECONDS)
