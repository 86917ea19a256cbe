"""A TCP forwarder from the machine into the lab: accepts on a socket made outside, connects to an address inside.

The listening socket belongs to the network namespace where it was made (the machine's), this process to the lab's, so
what it opens goes there: kubectl and tests outside reach the lab's API server on 127.0.0.1, and no route or address
is needed for it. Copies bytes, looks at none. Run by path with nothing but the standard library.
"""

import argparse
import asyncio
import contextlib
import socket

CHUNK_BYTES = 65536
CONNECT_SECONDS = 5.0


async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Until the source ends; then the sink is told so, and its own direction stays open. Raises OSError when broken."""
    while chunk := await source.read(CHUNK_BYTES):
        sink.write(chunk)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()


async def carry(
    destination: tuple[str, int], from_outside: asyncio.StreamReader, to_outside: asyncio.StreamWriter
) -> None:
    """One connection, until both sides have ended it or one is broken (forever, if not: watches are meant to last)."""
    with contextlib.closing(to_outside):
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                from_inside, to_inside = await asyncio.open_connection(*destination)
        except (OSError, TimeoutError):
            return
        with contextlib.closing(to_inside):
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(copy(from_outside, to_inside))
                    tasks.create_task(copy(from_inside, to_outside))
            except* OSError:
                pass


async def serve(listener: socket.socket, destination: tuple[str, int]) -> None:
    async with asyncio.TaskGroup() as connections:

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.create_task(carry(destination, reader, writer))

        server = await asyncio.start_server(accept, sock=listener)
        async with server:
            await server.serve_forever()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--listen-fd", type=int, required=True, help="an inherited, listening TCP socket")
    arguments.add_argument("--to-address", required=True)
    arguments.add_argument("--to-port", type=int, required=True)
    options = arguments.parse_args()
    listener = socket.socket(fileno=options.listen_fd)
    asyncio.run(serve(listener, (options.to_address, options.to_port)))


if __name__ == "__main__":
    main()
