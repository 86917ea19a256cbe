"""The program in a lab's pod: an HTTP server that says which pod it is and whose address it sees.

Run by path with nothing but the standard library, so that it starts at once. Knows nothing of Services.
"""

import argparse
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


class Answer(BaseHTTPRequestHandler):
    """One line for any GET: `pod example-node1 on node1 sees 172.30.0.100`. For /port: the port that it came to."""

    protocol_version = "HTTP/1.1"
    pod_name: ClassVar[str]
    node_name: ClassVar[str]

    def do_GET(self) -> None:
        seen = self.client_address[0].removeprefix("::ffff:")
        said = f"pod {self.pod_name} on {self.node_name} sees {seen}"
        body = f"{self.connection.getsockname()[1] if self.path == '/port' else said}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


class DualStackServer(ThreadingHTTPServer):
    """IPv4 and IPv6 on one socket."""

    address_family = socket.AF_INET6
    request_queue_size = 128

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--pod-name", required=True)
    arguments.add_argument("--node-name", required=True)
    arguments.add_argument("--port", type=int, action="append", required=True, help="listen here (may be repeated)")
    options = arguments.parse_args()
    Answer.pod_name, Answer.node_name = options.pod_name, options.node_name
    servers = [DualStackServer(("::", port), Answer) for port in options.port]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    servers[0].serve_forever()


if __name__ == "__main__":
    main()
