"""Serves the healthCheckNodePorts of a lab's Services on every node, as kube-proxy does (pkg/proxy/healthcheck).

200 with the number of ready endpoints on the node, 503 where there is none: by the rules as they are written, not as
they are wanted. Unlike kube-proxy's nftables mode it listens on all addresses of the node.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import socket
from collections.abc import Iterable, Mapping

from lab.workload.objects import TrafficService, TrafficSlice

CLONE_NEWNET = 0x40000000
PATIENCE_SECONDS = 5.0

HealthPorts = Mapping[int, int]
"""By healthCheckNodePort: how many ready endpoints its Service has on the node."""


def health_ports(node_name: str, services: Iterable[TrafficService], slices: Iterable[TrafficSlice]) -> HealthPorts:
    """What a node's proxy is to say."""
    every = list(slices)
    return {
        service.spec.health_check_node_port: sum(
            endpoint.is_ready and endpoint.node_name == node_name
            for each in every
            if (each.metadata.namespace, each.service_name) == (service.metadata.namespace, service.metadata.name)
            for endpoint in each.endpoints or ()
        )
        for service in services
        if service.spec.external_traffic_policy == "Local" and service.spec.health_check_node_port
    }


class HealthServers:
    """One node's. They end with the process."""

    def __init__(self, node_name: str) -> None:
        self._node_name = node_name
        self._counts: dict[int, int] = {}
        self._servers: dict[int, asyncio.Server] = {}

    async def serve(self, ports: HealthPorts) -> None:
        """Say this from now on, and listen at no other ports."""
        self._counts = dict(ports)
        for port in self._servers.keys() - ports.keys():
            self._servers.pop(port).close()
        for port in ports.keys() - self._servers.keys():
            self._servers[port] = await asyncio.start_server(self._answer, sock=_listening(self._node_name, port))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1]
        try:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(_response(self._counts.get(port, 0)))
                    await writer.drain()
        finally:
            writer.close()


def _response(count: int) -> bytes:
    body = json.dumps({"localEndpoints": count}).encode()
    status = "200 OK" if count else "503 Service Unavailable"
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


def _listening(node_name: str, port: int) -> socket.socket:
    """A socket in that node's network, for both families. The calling thread is there meanwhile."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{node_name}", "rb") as there:
        _enter(libc, there.fileno())
        try:
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        finally:
            _enter(libc, home.fileno())


def _enter(libc: ctypes.CDLL, namespace: int) -> None:
    if libc.setns(namespace, CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
