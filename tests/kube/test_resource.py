import pytest

from kube.resource import IPPOOLS, LEASES, NODES, SERVICES


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (SERVICES.path(), "/api/v1/services"),
        (SERVICES.path(namespace="web"), "/api/v1/namespaces/web/services"),
        (SERVICES.path("a", "web", "status"), "/api/v1/namespaces/web/services/a/status"),
        (NODES.path("n1"), "/api/v1/nodes/n1"),
        (LEASES.path("l", "kube-system"), "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/l"),
        (IPPOOLS.path("edge", subresource="status"), "/apis/berth.dev/v1beta1/ippools/edge/status"),
        (NODES.path("a/b?c"), "/api/v1/nodes/a%2Fb%3Fc"),
    ],
)
def test_paths_are_those_of_the_api_server(path: str, expected: str) -> None:
    assert path == expected


def test_a_namespaced_object_has_no_path_without_its_namespace() -> None:
    with pytest.raises(ValueError, match="namespace"):
        SERVICES.path("a")


def test_api_versions_are_written_as_in_manifests() -> None:
    assert (SERVICES.api_version, IPPOOLS.api_version) == ("v1", "berth.dev/v1beta1")
