"""The connections of a client, in real time: aiohttp notes by its own clock since when one rests."""

import asyncio
import contextlib
import socket
from typing import Any

import pytest

from kube.errors import ApiError
from kube.io.client import Client
from kube.resource import IPPOOLS
from tests.kube.conftest import Connected
from tests.kube.server import after, reply, stream

pytestmark = pytest.mark.asyncio


async def test_connections_ask_whether_the_other_end_is_there(connected: Connected) -> None:
    async with connected(reply({})) as (client, _):
        await client.get(IPPOOLS, "a")
        [[(kept, _)]] = client._transport._connector._conns.values()
        made = kept.transport.get_extra_info("socket")
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        assert [made.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [10, 5, 3, 15000]


async def test_a_connection_that_rested_while_a_request_broke_is_not_used_again(connected: Connected) -> None:
    """The next request would wait on it until it is given up."""

    def resting(client: Client) -> list[Any]:
        pools = client._transport._connector._conns.values()
        return [kept for pool in pools for kept, _ in pool if kept.is_connected()]

    async with connected(reply({}), reply({}), after(0.2, stream(cut=True)), reply({})) as (client, _):
        await asyncio.gather(client.get(IPPOOLS, "a"), client.get(IPPOOLS, "b"))
        used, rests = resting(client)
        with contextlib.suppress(ApiError):
            await client.get(IPPOOLS, "c")
        await asyncio.sleep(0)
        assert not {used, rests} & set(resting(client))
        await client.get(IPPOOLS, "d")
