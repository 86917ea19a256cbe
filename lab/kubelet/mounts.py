"""Secrets as folders, the way a kubelet mounts them: what a process reads changes in place, as one.

     SECRET/..data -> ..1          a link that is replaced, never written to
     SECRET/..1/key                the data of one version
     SECRET/key -> ..data/key

Reads no API: whoever has a Secret's data gives it.
"""

import base64
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

_PRESENT = "..data"


def write_folder(folder: Path, data: Mapping[str, str]) -> None:
    """Make the folder show these values (base64, as in a Secret). The same values again change nothing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    decoded = {name: base64.b64decode(value) for name, value in data.items()}
    before = folder / _PRESENT
    if before.is_symlink() and _shown(before) == decoded:
        return
    old = before.readlink().name if before.is_symlink() else None
    version = folder / f"..{int(old.strip('.')) + 1 if old else 1}"
    version.mkdir(mode=0o700)
    for name, value in decoded.items():
        (version / name).write_bytes(value)
    link = folder / "..new"
    link.symlink_to(version.name)
    os.replace(link, before)
    _link_all(folder, decoded)
    if old:
        shutil.rmtree(folder / old)


def _shown(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _link_all(folder: Path, names: Mapping[str, bytes]) -> None:
    for path in folder.iterdir():
        if not path.name.startswith("..") and path.name not in names:
            path.unlink()
    for name in names:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"{_PRESENT}/{name}")
