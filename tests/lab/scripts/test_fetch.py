"""The client that visits addresses again and again: each time from a port that it had long not had."""

import json
import socket
import subprocess
import sys
from itertools import islice

import pytest

from lab.scripts import fetch, script


def served(listener: socket.socket, times: int) -> list[int]:
    """The ports from which so many connections came, each answered."""
    found = []
    for _ in range(times):
        connection, address = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello")
        found.append(address[1])
    return found


def test_a_port_comes_again_after_all_others() -> None:
    some = list(islice(fetch.ports_anew(0.5), fetch.PORTS + 1))
    assert len(set(some)) == fetch.PORTS
    assert some[0] == some[-1]
    assert fetch.FIRST_PORT <= min(some) <= max(some) < 32768  # net.ipv4.ip_local_port_range


def test_a_client_that_is_started_anew_goes_on_with_ports_that_the_last_one_had_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetch.time, "monotonic", lambda: 100.0)
    before = set(islice(fetch.ports_anew(0.5), 6))
    monkeypatch.setattr(fetch.time, "monotonic", lambda: 103.0)
    assert not before & set(islice(fetch.ports_anew(0.5), 6))


def test_visits_come_from_these_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10.0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        command = [sys.executable, *script("fetch.py")[1:], url, "--every-seconds=0.05"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
            ports = served(listener, 3)
            assert client.stdout is not None
            assert json.loads(client.stdout.readline())["body"] == "hello"
            client.kill()
    assert [(port - ports[0]) % fetch.PORTS for port in ports] == [0, 1, 2]
    assert max(ports) < 32768
