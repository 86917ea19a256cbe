"""Layers are laid over each other as the OCI image specification says."""

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from lab.kubelet.image import BadImage, unpack


def layer(**files: str) -> bytes:
    """A gzipped tar file; of a name, `_` means `/`."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name.replace("__", "/").replace("WH_", ".wh."))
            entry.size, entry.uid, entry.gid = len(text), os.getuid(), os.getgid()
            archive.addfile(entry, io.BytesIO(text.encode()))
    return gzip.compress(written.getvalue())


def layout(folder: Path, *layers: bytes, user: str = "65532:65532") -> Path:
    def put(content: bytes) -> dict[str, str]:
        digest = hashlib.sha256(content).hexdigest()
        (folder / "blobs/sha256" / digest).write_bytes(content)
        return {"digest": f"sha256:{digest}"}

    (folder / "blobs/sha256").mkdir(parents=True)
    config = {"config": {"User": user, "Env": ["PATH=/bin", "A=b=c"]}}
    manifest = {"config": put(json.dumps(config).encode()), "layers": [put(each) for each in layers]}
    index = {"manifests": [put(json.dumps(manifest).encode())]}
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def test_a_later_layer_replaces_and_takes_away(tmp_path: Path) -> None:
    given = layout(
        tmp_path / "layout",
        layer(etc__a="1", etc__b="1", etc__c="1", opt__x__y="1"),
        layer(etc__a="2", etc__WH_b="", WH_opt=""),
    )
    image = unpack(given, tmp_path / "root")
    assert {path.name: path.read_text() for path in (image.root / "etc").iterdir()} == {"a": "2", "c": "1"}
    assert not (image.root / "opt").exists()
    assert (image.user, image.group, image.environment) == (65532, 65532, {"PATH": "/bin", "A": "b=c"})


def test_an_archive_of_a_layout_is_read_too(tmp_path: Path) -> None:
    given = layout(tmp_path / "layout", layer(a="1"), user="")
    with tarfile.open(tmp_path / "image.tar", "w") as archive:
        archive.add(given, arcname=".")
    image = unpack(tmp_path / "image.tar", tmp_path / "root")
    assert (image.root / "a").read_text() == "1"
    assert (image.user, image.group) == (0, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.tar", "layout", "root"]


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x" * 2000)
    for source in (tmp_path, tmp_path / "file", tmp_path / "missing"):
        with pytest.raises(BadImage, match=source.name):
            unpack(source, tmp_path / "root")
