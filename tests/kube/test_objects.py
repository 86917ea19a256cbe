"""Objects as a kube-apiserver v1.36.2 sent them, cut to what matters."""

import json
from typing import Any

import msgspec
import pytest

from kube.objects import (
    decode_endpoint_slice,
    decode_lease,
    decode_namespace,
    decode_node,
    decode_secret,
    decode_service,
)


def raw(**fields: Any) -> bytes:
    return json.dumps(
        {"apiVersion": "v1", "metadata": {"name": "x", "uid": "u", "resourceVersion": "7"}, **fields}
    ).encode()


def test_a_service_has_what_the_allocator_looks_at() -> None:
    service = decode_service(
        raw(
            spec={
                "ports": [{"protocol": "TCP", "port": 8765, "targetPort": 9376, "nodePort": 32215}],
                "selector": {"app": "example"},
                "clusterIP": "10.96.41.21",
                "clusterIPs": ["10.96.41.21"],
                "type": "LoadBalancer",
                "externalTrafficPolicy": "Local",
                "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack",
                "loadBalancerClass": "berth.dev/berth",
                "loadBalancerIP": "192.0.2.7",
                "healthCheckNodePort": 31000,
            },
            status={"loadBalancer": {"ingress": [{"ip": "192.0.2.89", "ipMode": "VIP"}]}},
        )
    )
    assert service.metadata.resource_version == "7"
    assert not service.metadata.is_terminating
    assert [(port.port, port.protocol) for port in service.spec.ports] == [(8765, "TCP")]
    assert service.spec.type == "LoadBalancer"
    assert service.spec.cluster_ips == ("10.96.41.21",)
    assert service.spec.ip_families == ("IPv4",)
    assert service.spec.ip_family_policy == "SingleStack"
    assert service.spec.load_balancer_class == "berth.dev/berth"
    assert service.spec.load_balancer_ip == "192.0.2.7"
    assert service.spec.external_traffic_policy == "Local"
    assert service.spec.health_check_node_port == 31000
    assert service.status.load_balancer.ingress[0].ip == "192.0.2.89"
    assert service.status.load_balancer.ingress[0].ip_mode == "VIP"


def test_a_terminating_service_with_conditions_and_finalizers() -> None:
    meta = {"name": "x", "deletionTimestamp": "2026-11-23T07:00:47Z", "finalizers": ["a.example/b"]}
    condition = {"type": "berth.dev/Allocated", "status": "True", "observedGeneration": 3}
    service = decode_service(raw(metadata=meta, status={"loadBalancer": {}, "conditions": [condition]}))
    assert service.metadata.is_terminating
    assert service.metadata.finalizers == ("a.example/b",)
    assert service.status.conditions[0].observed_generation == 3
    assert service.status.load_balancer.ingress == ()


def test_endpoint_conditions_that_are_not_said_mean_ready() -> None:
    slice_ = decode_endpoint_slice(
        raw(
            metadata={"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
            addressType="IPv4",
            endpoints=[
                {"addresses": ["10.244.1.1"], "conditions": {"ready": True}, "nodeName": "n1"},
                {"addresses": ["10.244.2.1"], "conditions": {}},
                {"addresses": ["10.244.3.1"], "conditions": {"ready": False, "serving": True, "terminating": True}},
            ],
        )
    )
    assert slice_.service_name == "web"
    assert [one.is_ready for one in slice_.endpoints] == [True, True, False]
    assert [one.is_serving for one in slice_.endpoints] == [True, True, True]
    assert [one.is_terminating for one in slice_.endpoints] == [False, False, True]
    assert [one.node_name for one in slice_.endpoints] == ["n1", None, None]


def test_a_slice_without_endpoints_says_null() -> None:
    assert decode_endpoint_slice(raw(addressType="IPv6", endpoints=None)).endpoints == ()


def test_a_node_tells_its_conditions_taints_and_addresses() -> None:
    node = decode_node(
        raw(
            spec={"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]},
            status={
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "172.30.0.11"}],
            },
        )
    )
    assert node.condition("Ready") == "True"
    assert node.condition("NetworkUnavailable") is None
    assert node.spec.taints[0].key == "node.kubernetes.io/not-ready"
    assert node.status.addresses[0].address == "172.30.0.11"


def test_a_lease_may_have_no_holder() -> None:
    lease = decode_lease(raw(spec={"leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}))
    assert lease.spec.holder_identity is None
    assert lease.spec.lease_duration_seconds == 15
    assert lease.spec.renew_time == "2026-01-01T00:00:00.000000Z"


def test_a_secret_gives_decoded_values_and_shows_none() -> None:
    secret = decode_secret(raw(type="kubernetes.io/basic-auth", data={"password": "c2VzYW1l"}))
    assert secret.value("password") == b"sesame"
    assert secret.value("username") is None
    assert "c2VzYW1l" not in repr(secret)


def test_a_namespace_has_labels() -> None:
    assert decode_namespace(raw(metadata={"name": "web", "labels": {"team": "a"}})).metadata.labels == {"team": "a"}


def test_what_has_another_shape_is_refused_as_a_value_error() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_service(raw(spec={"ports": "none"}))
    assert issubclass(msgspec.DecodeError, ValueError)
