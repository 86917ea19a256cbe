"""The forwarder into the lab carries both directions, ends with either side, and outlives an absent destination."""

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.process import Process
from lab.scripts import script

pytestmark = pytest.mark.lab


@pytest.fixture
def inside() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        yield listener


@pytest.fixture
def forwarder(inside: socket.socket, tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A forwarder to `inside`; gives its outer address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        destination = ["--to-address=127.0.0.1", f"--to-port={inside.getsockname()[1]}"]
        command = [*script("forward.py"), f"--listen-fd={listener.fileno()}", *destination]
        process = Process("forwarder", command, log_path=tmp_path / "log", pass_fds=[listener.fileno()])
        process.start()
        address: tuple[str, int] = listener.getsockname()
    yield address
    process.kill()


def test_what_one_side_says_the_other_hears(forwarder: tuple[str, int], inside: socket.socket) -> None:
    payload = bytes(range(256)) * 4096
    with socket.create_connection(forwarder, timeout=10) as client:
        server, _ = inside.accept()
        with server:
            sender = threading.Thread(target=client.sendall, args=(payload,))
            sender.start()
            received = b""
            while len(received) < len(payload) and (part := server.recv(65536)):
                received += part
            sender.join()
            assert received == payload
            server.sendall(b"answer")
            assert client.recv(100) == b"answer"


def test_one_side_may_stop_talking_and_still_listen(forwarder: tuple[str, int], inside: socket.socket) -> None:
    with socket.create_connection(forwarder, timeout=10) as client:
        server, _ = inside.accept()
        with server:
            client.shutdown(socket.SHUT_WR)
            assert server.recv(1) == b""
            server.sendall(b"late")
        assert client.recv(100) == b"late"


def test_a_forwarder_to_nobody_closes_the_connection_and_lives_on(
    forwarder: tuple[str, int], inside: socket.socket
) -> None:
    inside.close()
    for _ in range(2):
        with socket.create_connection(forwarder, timeout=10) as client:
            assert client.recv(1) == b""


def test_a_side_that_breaks_off_ends_the_other(forwarder: tuple[str, int], inside: socket.socket) -> None:
    client = socket.create_connection(forwarder, timeout=10)
    server, _ = inside.accept()
    with server:
        server.settimeout(10)
        linger_on_for_no_time = struct.pack("ii", 1, 0)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_on_for_no_time)
        client.close()  # a reset, not an orderly end
        assert server.recv(1) == b""
