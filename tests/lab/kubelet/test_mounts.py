"""A mounted Secret changes in place, as one."""

import base64
from pathlib import Path

from lab.kubelet.mounts import write_folder


def encoded(**values: str) -> dict[str, str]:
    return {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}


def shown(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if not path.name.startswith("..")}


def test_the_folder_shows_the_latest_values_only(tmp_path: Path) -> None:
    folder = tmp_path / "secret"
    for values in ({"key": "a"}, {"key": "b", "next": "c"}, {"key": "c"}, {}, {"key": "d"}):
        write_folder(folder, encoded(**values))
        assert shown(folder) == values
    assert len(list(folder.glob("..*"))) == 2  # one version and the link to it


def test_the_same_values_again_change_nothing(tmp_path: Path) -> None:
    write_folder(tmp_path, encoded(key="a"))
    before = (tmp_path / "..data").readlink()
    write_folder(tmp_path, encoded(key="a"))
    assert (tmp_path / "..data").readlink() == before
