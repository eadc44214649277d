import hashlib
from pathlib import Path

import pytest
from places import SHIPPED

import mcnet_cli.files
from mcnet_cli.errors import WeightsError
from mcnet_cli.face.networks import read_network
from mcnet_cli.files import asset

FOLDER = SHIPPED / "face"


def test_every_face_model_is_listed_in_the_notice_with_its_digest() -> None:
    notice = (FOLDER / "NOTICE").read_text()
    listed = dict(line.split()[::-1] for line in notice.split("sha256\n")[1].splitlines())
    models = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.glob("*.tflite")}
    assert listed == models
    assert len(models) == 7
    assert "Apache License, Version 2.0" in notice


def test_an_asset_is_found_in_the_checkout() -> None:
    assert asset("face/face_mesh.tflite").read_bytes() == (FOLDER / "face_mesh.tflite").read_bytes()


def test_the_installed_packages_own_assets_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcnet_cli.files, "PACKAGE", tmp_path / "mcnet_cli")
    for folder in ("weights", "mcnet_cli/assets"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "model").write_text(folder)
        assert asset("model").read_text() == folder


def test_an_asset_that_is_not_there_or_damaged_is_a_weights_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcnet_cli.files, "PACKAGE", tmp_path / "mcnet_cli")
    with pytest.raises(WeightsError, match="face/nothing"):
        asset("face/nothing")
    (tmp_path / "weights").mkdir()
    for content in (b"", b"no model", (FOLDER / "face_mesh.tflite").read_bytes()[:5000]):
        (tmp_path / "weights" / "model").write_bytes(content)
        with pytest.raises(WeightsError, match="damaged"):
            read_network("model")
