"""A container image on this machine: from an OCI archive or layout to the root file system that a runtime would make.

What runs in it, and with which rights, is in podspec; scripts/contained.py goes in. Fetches nothing.
"""

import gzip
import json
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

WHITEOUT = ".wh."
"""A file of this name in a layer takes away the one after it of the layers below (OCI image spec, layer.md)."""
OPAQUE = ".wh..wh..opq"


class BadImage(ValueError):
    """It is no image that we can run; the message says why."""


@dataclass(frozen=True)
class Image:
    """`root`: the root file system. `user` and `group`: whom its programs run as when the pod does not say."""

    root: Path
    environment: Mapping[str, str]
    user: int
    group: int


def unpack(source: Path, folder: Path) -> Image:
    """Make `folder` the root file system of the one image in `source`: an OCI archive, or the folder of a layout.

    Owners and modes are those of the image where we are root. Raises BadImage.
    """
    if source.is_dir():
        return _unpack_layout(source, folder)
    layout = folder.with_name(f"{folder.name}.layout")
    try:
        with tarfile.open(source) as archive:
            archive.extractall(layout, filter="data")
        return _unpack_layout(layout, folder)
    except (OSError, tarfile.TarError) as error:
        raise BadImage(f"{source} can't be read as an OCI archive: {error}") from error
    finally:
        shutil.rmtree(layout, ignore_errors=True)


def _unpack_layout(layout: Path, folder: Path) -> Image:
    try:
        (described,) = json.loads((layout / "index.json").read_text())["manifests"]
        manifest = json.loads(_blob(layout, described).read_text())
        config = json.loads(_blob(layout, manifest["config"]).read_text())["config"]
        layers = [_blob(layout, each) for each in manifest["layers"]]
    except (OSError, KeyError, ValueError) as error:
        raise BadImage(f"{layout} holds no layout of one image: {error!r}") from error
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    for layer in layers:
        with layer.open("rb") as opened, tarfile.open(fileobj=_inflated(opened), mode="r|") as entries:
            _lay(entries, folder)
    user, _, group = str(config.get("User") or "0").partition(":")
    environment = dict(each.split("=", 1) for each in config.get("Env") or ())
    return Image(folder, environment, int(user), int(group or 0))


def _blob(layout: Path, descriptor: Mapping[str, Any]) -> Path:
    digest: str = descriptor["digest"]
    return layout / "blobs" / digest.replace(":", "/", 1)


def _inflated(layer: BinaryIO) -> Any:
    magic = layer.read(2)
    layer.seek(0)
    return gzip.open(layer) if magic == b"\x1f\x8b" else layer


def _lay(entries: tarfile.TarFile, folder: Path) -> None:
    """One layer over what is there."""
    for entry in entries:
        path = PurePosixPath(entry.name)
        if path.name == OPAQUE:
            for each in (folder / path.parent).iterdir():
                _remove(each)
        elif path.name.startswith(WHITEOUT):
            _remove(folder / path.parent / path.name.removeprefix(WHITEOUT))
        else:
            entries.extract(entry, folder, filter="tar")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
