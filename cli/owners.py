"""Whose a MAC is, for `berth arping`: what the Speakers of a cluster tell.

Loaded on use, since the client of the API is most of a start-up.
"""

import asyncio
import sys
from collections.abc import Iterator

import msgspec

from cli.answers import Owner
from kube.config.io.credentials import CredentialsError
from kube.decoding import decoder
from kube.errors import ApiError
from kube.io.client import Client
from kube.objects import KubeObject
from kube.resource import SPEAKERS

ANSWER_SECONDS = 20.0


class _Interface(msgspec.Struct, frozen=True):
    name: str
    mac: str = ""
    answers: str = ""


class _Status(msgspec.Struct, frozen=True):
    interfaces: tuple[_Interface, ...] | None = None


class _Speaker(KubeObject, frozen=True, kw_only=True):
    status: _Status = _Status()


_decode = decoder(_Speaker)


def read_owners(kubeconfig: str) -> dict[str, Owner] | None:
    """By MAC. None when the cluster does not answer, which is said on stderr."""
    try:
        return asyncio.run(asyncio.wait_for(_read(kubeconfig), ANSWER_SECONDS))
    except (ApiError, CredentialsError, TimeoutError, ValueError) as error:
        why = str(error) or f"the API server did not answer within {ANSWER_SECONDS:.0f} s"
        print(f"berth: whose a MAC is can't be told: {why}", file=sys.stderr)
        return None


async def _read(kubeconfig: str) -> dict[str, Owner]:
    async with await Client.connect(kubeconfig, user_agent="berth-arping") as client:
        items, _ = await client.list(SPEAKERS)
    return dict(owner for raw in items for owner in owners_in(raw))


def owners_in(raw: bytes) -> Iterator[tuple[str, Owner]]:
    """Of one Speaker: all its interfaces. Raises ValueError for what is none."""
    speaker = _decode(raw)
    for one in speaker.status.interfaces or ():
        if one.mac:
            yield one.mac, Owner(speaker.metadata.name, one.name, one.answers)
