"""The protobuf bodies that kubectl's typed clients were seen to send are understood; anything else is refused."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.apiserver.protobuf import MAGIC, ProtobufError, decode

EMPTY_METADATA = b'\n\x10\n\x00\x12\x00\x1a\x00"\x00*\x002\x008\x00B\x00'
END = b'\x1a\x00"\x00'

# Recorded from kubectl v1.37.1.
SEEN: list[tuple[bytes, dict[str, Any]]] = [
    (  # kubectl auth can-i create services
        b"k8s\x00\n2\n\x17authorization.k8s.io/v1\x12\x17SelfSubjectAccessReview\x12C"
        + EMPTY_METADATA
        + b'\x12%\n#\n\x07default\x12\x06create\x1a\x00"\x00*\x08services2\x00:\x00'
        + b"\x1a\x08\x08\x00\x12\x00\x1a\x00 \x00"
        + END,
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "metadata": {},
            "spec": {"resourceAttributes": {"namespace": "default", "verb": "create", "resource": "services"}},
        },
    ),
    (  # kubectl create token default
        b"k8s\x00\n(\n\x18authentication.k8s.io/v1\x12\x0cTokenRequest\x12\x1a"
        + EMPTY_METADATA
        + b"\x12\x00\x1a\x04\n\x00\x12\x00"
        + END,
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "spec": {}},
    ),
    (  # kubectl create configmap cm --from-literal=a=b
        b'k8s\x00\n\x0f\n\x02v1\x12\tConfigMap\x12\x1c\n\x12\n\x02cm\x12\x00\x1a\x00"\x00*\x002\x008\x00B\x00'
        b"\x12\x06\n\x01a\x12\x01b" + END,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm"}, "data": {"a": "b"}},
    ),
    (  # kubectl create secret generic s --from-literal=a=b
        b'k8s\x00\n\x0c\n\x02v1\x12\x06Secret\x12\x1d\n\x11\n\x01s\x12\x00\x1a\x00"\x00*\x002\x008\x00B\x00'
        b"\x12\x06\n\x01a\x12\x01b\x1a\x00" + END,
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "Yg=="}},
    ),
    (  # kubectl create clusterrole r --verb=get --resource=pods
        b'k8s\x00\n+\n\x1crbac.authorization.k8s.io/v1\x12\x0bClusterRole\x12"'
        b'\n\x11\n\x01r\x12\x00\x1a\x00"\x00*\x002\x008\x00B\x00\x12\r\n\x03get\x12\x00\x1a\x04pods' + END,
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "r"},
            "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}],
        },
    ),
    (  # kubectl create service clusterip cs --tcp=80:80
        b'k8s\x00\n\r\n\x02v1\x12\x07Service\x12c\n\x1d\n\x02cs\x12\x00\x1a\x00"\x00*\x002\x008\x00B\x00Z\t\n\x03app\x12\x02cs'
        b'\x12>\n\x18\n\x0580-80\x12\x03TCP\x18P"\x06\x08\x00\x10P\x1a\x00(\x00\x12\t\n\x03app\x12\x02cs\x1a\x00"\tClusterIP'
        b":\x00B\x00R\x00Z\x00`\x00h\x00\x1a\x02\n\x00" + END,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "cs", "labels": {"app": "cs"}},
            "spec": {
                "ports": [{"name": "80-80", "protocol": "TCP", "port": 80, "targetPort": 80}],
                "selector": {"app": "cs"},
                "type": "ClusterIP",
            },
        },
    ),
]


@pytest.mark.parametrize(("body", "expected"), SEEN)
def test_what_kubectl_sends_is_read(body: bytes, expected: dict[str, Any]) -> None:
    assert decode(body) == expected


def test_an_unknown_kind_is_refused_by_name() -> None:
    body = b"k8s\x00\n\x0c\n\x02v1\x12\x06Secret".replace(b"Secret", b"Unicow")
    with pytest.raises(ProtobufError, match="Unicow"):
        decode(body)


@given(st.binary(max_size=60), st.sampled_from(SEEN), st.integers(0, 200))
def test_junk_is_refused_and_never_more_than_that(junk: bytes, seen: tuple[bytes, Any], cut: int) -> None:
    for body in (junk, MAGIC + junk, seen[0][:cut] + junk):
        with contextlib.suppress(ProtobufError, UnicodeDecodeError):
            decode(body)
