import pytest

from kube.config.proxy import proxy_for

PROXY = {"HTTPS_PROXY": "http://proxy:3128"}


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("https://10.96.0.1:443", PROXY, "http://proxy:3128"),
        ("https://10.96.0.1:443", {}, None),
        ("https://api.example", {"https_proxy": "proxy:3128"}, "http://proxy:3128"),
        ("http://api.example", PROXY, None),
        ("https://127.0.0.1:6443", PROXY, None),
        ("https://[::1]:6443", PROXY, None),
        ("https://localhost:6443", PROXY, None),
        ("https://10.96.0.1:443", PROXY | {"NO_PROXY": "10.0.0.0/8"}, None),
        ("https://10.96.0.1:443", PROXY | {"NO_PROXY": "192.168.0.0/16, 10.96.0.1"}, None),
        ("https://11.0.0.1:443", PROXY | {"NO_PROXY": "10.0.0.0/8"}, "http://proxy:3128"),
        ("https://api.example", PROXY | {"NO_PROXY": "example"}, None),
        ("https://api.example", PROXY | {"NO_PROXY": ".example"}, None),
        ("https://api.example", PROXY | {"NO_PROXY": "*.example"}, None),
        ("https://example", PROXY | {"NO_PROXY": ".example"}, "http://proxy:3128"),
        ("https://badexample", PROXY | {"NO_PROXY": "example"}, "http://proxy:3128"),
        ("https://api.example:6443", PROXY | {"NO_PROXY": "api.example:6443"}, None),
        ("https://api.example:6443", PROXY | {"NO_PROXY": "api.example:443"}, "http://proxy:3128"),
        ("https://[fd00::1]:6443", PROXY | {"NO_PROXY": "fd00::/8"}, None),
        ("https://api.example", PROXY | {"NO_PROXY": "*"}, None),
    ],
)
def test_proxies_follow_the_environment_as_in_go(url: str, environ: dict[str, str], expected: str | None) -> None:
    assert proxy_for(url, environ) == expected
