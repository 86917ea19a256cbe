"""TCP connections through a Service's address: which pod each reaches, and whether any packet of them is lost.

Run by path on a host, with nothing but the standard library.

    serve NAME            in a pod: says NAME to each who connects, then answers each line with itself and the number of
                          segments that it had to send again on that connection since then
    keep ADDRESS          on a client: holds connections open, with a line on each again and again until SIGTERM; then
                          prints a line of JSON for each: `server`, `lines` sent, `answered`, `sent_again` (segments, of
                          both sides, each one a loss, since it was open), and `error`, why it ended before
    count ADDRESS         on a client: one connection after the other, and prints how many reached which server

What is sent again though it had arrived is no loss: on a machine that stands still for 0.2 s, TCP does so. The receiver
tells the sender (D-SACK, RFC 2883), and it is not counted.
"""

import argparse
import contextlib
import json
import select
import signal
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

PORT = 9999
CONNECT_SECONDS = 5.0
LAST_ANSWERS_SECONDS = 2.0
SENT_AGAIN = struct.Struct("=100xI112xI")
"""Of struct tcp_info, linux/tcp.h: tcpi_total_retrans and tcpi_dsack_dups."""


def sent_again(connection: socket.socket) -> int:
    """How many segments were sent more than once and had not arrived before."""
    counts = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, SENT_AGAIN.size)
    again: int
    in_vain: int
    again, in_vain = SENT_AGAIN.unpack(counts)
    return max(0, again - in_vain)


# --- the pod's side


def serve(name: str, port: int) -> None:
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512)
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection, name), daemon=True).start()


def answer(connection: socket.socket, name: str) -> None:
    with connection, contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(f"{name}\n".encode())
        before = sent_again(connection)
        for line in connection.makefile("rb"):
            connection.sendall(b"%s %d\n" % (line.strip(), sent_again(connection) - before))


# --- the client's side


@dataclass
class Flow:
    """One connection. Segments sent again: `before`, until it was open; `theirs`, by the server, as it said last."""

    connection: socket.socket
    server: str
    before: int
    lines: int = 0
    answered: int = 0
    theirs: int = 0
    error: str = ""
    _rest: bytes = field(default=b"", repr=False)

    @classmethod
    def open(cls, address: str, port: int) -> "Flow":
        connection = socket.create_connection((address, port), timeout=CONNECT_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        said = b""
        while not said.endswith(b"\n"):
            heard = connection.recv(256)
            if not heard:
                raise ConnectionError("the server ended the connection at once")
            said += heard
        connection.setblocking(False)
        return cls(connection, said.decode().strip(), sent_again(connection))

    def say(self) -> None:
        if not self.error:
            try:
                self.connection.send(f"{self.lines}\n".encode())
                self.lines += 1
            except OSError as error:
                self.error = str(error)

    def hear(self) -> None:
        try:
            heard = self.connection.recv(4096)
        except OSError as error:
            self.error = str(error)
            return
        if not heard:
            self.error = "the server ended the connection"
        *lines, self._rest = (self._rest + heard).split(b"\n")
        self.answered += len(lines)
        if lines:
            self.theirs = int(lines[-1].split()[1])

    def report(self) -> dict[str, object]:
        again = self.theirs if self.error else self.theirs + sent_again(self.connection) - self.before
        return {
            "server": self.server,
            "lines": self.lines,
            "answered": self.answered,
            "sent_again": again,
            "error": self.error,
        }


def keep(address: str, port: int, count: int, every_seconds: float) -> None:
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    flows = [Flow.open(address, port) for _ in range(count)]
    print(json.dumps({"open": [flow.server for flow in flows]}), flush=True)
    due = time.monotonic()
    while not stopped.is_set():
        for flow in flows:
            flow.say()
        due += every_seconds
        hear_until(flows, due)
    end = time.monotonic() + LAST_ANSWERS_SECONDS
    while time.monotonic() < end and any(flow.answered < flow.lines and not flow.error for flow in flows):
        hear_until(flows, min(end, time.monotonic() + every_seconds))
    for flow in flows:
        print(json.dumps(flow.report()), flush=True)


def hear_until(flows: list[Flow], until: float) -> None:
    while (left := until - time.monotonic()) > 0:
        open_ones = {flow.connection: flow for flow in flows if not flow.error}
        for connection in select.select(list(open_ones), [], [], left)[0]:
            open_ones[connection].hear()


def count(address: str, port: int, connections: int) -> None:
    reached: Counter[str] = Counter()
    for _ in range(connections):
        try:
            flow = Flow.open(address, port)
        except OSError as error:
            reached[f"error: {error}"] += 1
            continue
        reached[flow.server] += 1
        flow.connection.close()
    print(json.dumps(reached), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["serve", "keep", "count"])
    parser.add_argument("word", metavar="NAME|ADDRESS")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--connections", type=int, default=12)
    parser.add_argument("--every-seconds", type=float, default=0.02)
    options = parser.parse_args()
    if options.action == "serve":
        serve(options.word, options.port)
    elif options.action == "keep":
        keep(options.word, options.port, options.connections, options.every_seconds)
    else:
        count(options.word, options.port, options.connections)


if __name__ == "__main__":
    main()
