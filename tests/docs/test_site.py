"""The site of the documents, as it is built and as a browser shows it."""

import html
import importlib.machinery
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urljoin
from urllib.request import urlopen

import pytest
import yaml

from tests.browser import look, served

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "site"
PICTURE_BYTES = 15_000
"""An empty page makes less."""


def tool() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("site_tool", str(TOOL))
    spec = importlib.util.spec_from_loader("site_tool", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Text\n- item\n- item\n", "Text\n\n- item\n- item\n"),
        ("- item\n  goes on\n", "- item\n    goes on\n"),
        ("1. one\n   - below\n     goes on\n2. two\n", "1. one\n    - below\n        goes on\n2. two\n"),
        ("- item\n\n  | a |\n  |---|\n", "- item\n\n    | a |\n    |---|\n"),
        ("- item\n\n      code\n\nText\n", "- item\n\n        code\n\nText\n"),
        ("Text\n\n    - code\n", "Text\n\n    - code\n"),
        ("- item\n\n  ```yaml\n  - a:\n      b\n  ```\n", "- item\n\n    ```yaml\n    - a:\n        b\n    ```\n"),
        ("```\n- code\n    more\n```\n", "```\n- code\n    more\n```\n"),
    ],
)
def test_lists_are_laid_out_as_the_builder_reads_them(given: str, expected: str) -> None:
    assert tool().laid_out(given) == expected


def test_a_page_that_is_not_in_the_navigation_ends_the_build(tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    stage = tool().Stage(config, tmp_path)
    del config["nav"][0]["Start"][0]
    with pytest.raises(SystemExit, match=r"not in the navigation, mkdocs\.yml: index\.md"):
        stage.navigation(config["nav"])


def test_a_page_that_is_not_there_ends_the_build(tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    config["nav"].append({"Lost": "lost.md"})
    with pytest.raises(SystemExit, match=r"no such page, in mkdocs\.yml: .*lost\.md"):
        tool().Stage(config, tmp_path).navigation(config["nav"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    output = folder / "built"
    command = [sys.executable, str(TOOL), "--stage", str(folder / "stage"), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return output


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    with served(site) as url:
        yield url


@pytest.mark.slow
def test_every_link_and_every_file_of_the_site_is_its_own(site: Path) -> None:
    for page in site.rglob("*.html"):
        for target in re.findall(r'(?:href|src)="?([^"\s>]+)', page.read_text()):
            if re.match(r"[a-z]+:|#|//", target):
                assert not re.match(r"https?:.*\.(js|css|woff2?|png|svg)\b", target), f"{page}: {target}"
            elif page.name != "404.html":
                path = target.split("#")[0].split("?")[0]
                assert not path or (page.parent / path).exists(), f"{page.relative_to(site)}: {target}"


def titled(nav: list[Any]) -> Iterator[str]:
    for each in nav:
        if isinstance(each, dict):
            for title, below in each.items():
                if isinstance(below, list):
                    yield from titled(below)
                else:
                    yield title


@pytest.mark.slow
def test_every_page_is_listed_beside_the_others_by_its_title(site: Path) -> None:
    link = re.compile(r'<a href="?[^">]+"? class="?md-nav__link[^>]*>\s*<span class="?md-ellipsis"?>\s*([^<]*?)\s*<')
    listed = {html.unescape(title) for title in link.findall((site / "lab.html").read_text())}
    assert set(titled(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])) - listed == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "width", "shown"),
    [
        ("index.html", 1280, ["On call", "Integrating", "is it for me"]),
        ("troubleshooting.html", 1280, ["<table>", "NoReadyEndpoint"]),
        ("platforms/index.html", 400, ["k3s.html", "Talos"]),
    ],
)
def test_a_browser_shows_a_page_without_an_error(
    page: str, width: int, shown: list[str], url: str, tmp_path: Path
) -> None:
    seen = look(f"{url}/{page}", tmp_path / "page.png", width=width)
    assert seen.console == ()
    for text in shown:
        assert re.search(text, seen.dom), text
    assert seen.screenshot.stat().st_size > PICTURE_BYTES


@pytest.mark.slow
def test_a_page_is_found_under_its_documents_name_too_as_alerts_link_to_runbooks(url: str) -> None:
    with urlopen(f"{url}/runbooks/BerthNoLeader.md") as answer:
        assert answer.headers.get_content_type() == "text/html"
        (onward,) = re.findall(r"; url=([^\"]+)", answer.read().decode())
        there = urljoin(answer.url, onward)
    with urlopen(there) as answer:
        assert b"<h1" in answer.read()
    assert there == f"{url}/runbooks/BerthNoLeader.html"


@pytest.mark.slow
def test_what_is_looked_for_most_is_in_the_index_of_the_search(site: Path) -> None:
    index = (site / "search.json").read_text()
    for word in ("NoReadyEndpoint", "strictARP", "speaker.ignoreExcludeLabel", "BERTH0601", "out-of-service"):
        assert word in index
