"""Checkpoints that torch saved: official ones just work, and no code in a file ever runs."""

import io
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_tools import refused
from parity_tools import rebuilt_weights, recipe
from torch import Tensor

from mcnet_cli.checkpoint import build_model, read_weights
from mcnet_cli.checkpoint.official import read_epoch
from mcnet_cli.model import PRESETS

# ---------------------------------------------------------------- torch's formats


class Code:
    """Unpickled carelessly, this makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.marker)!r}, 'w').close()",)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    path, marker = tmp_path / "code.pth", tmp_path / "ran"
    torch.save({"generator": Code(marker)}, path, _use_new_zipfile_serialization=zipped)
    refused(path, "unsafe")
    assert not marker.exists()


def test_a_bare_pickle_is_refused_unread(tmp_path: Path) -> None:
    path, marker = tmp_path / "bare.pth", tmp_path / "ran"
    path.write_bytes(pickle.dumps({"generator": Code(marker)}))
    refused(path, "pickle")
    assert not marker.exists()


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_a_pickle_is_refused_under_any_name_and_in_the_tar_layout_of_old(tmp_path: Path, name: str) -> None:
    path, marker = tmp_path / name, tmp_path / "ran"
    code = pickle.dumps({"generator": Code(marker)}, protocol=4)
    path.write_bytes(code)
    refused(path)
    with tarfile.open(path, "w") as archive:
        for member, content in (("pickle", code), ("storages", b""), ("tensors", b"")):
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    refused(path)
    assert not marker.exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({}, "missing or empty"),
        ({"conv1.weight": torch.ones(2, 2)}, "not an MCNet checkpoint"),
        ({"generator": {"final.weight": torch.ones(3)}, "kp_detector": {}}, "missing kp_detector.kp.weight"),
        ({"generator": {"final.weight": "text"}}, "not a tensor"),
        ([torch.ones(2)], "holds a list"),
    ],
)
def test_other_checkpoints_are_not_ours(tmp_path: Path, content: Any, word: str, zipped: bool) -> None:
    path = tmp_path / "other.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    refused(path, word)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_cut_checkpoint_is_damaged(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "cut.pth"
    torch.save({"generator": {"final.weight": torch.ones(999)}}, path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[:-900])
    refused(path, "damaged")


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    plain, path = io.BytesIO(), tmp_path / "bomb.pth"
    torch.save({"generator": {"final.weight": torch.zeros(1 << 20)}}, plain)
    with zipfile.ZipFile(plain) as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for member in archive.namelist():
            bomb.writestr(member, archive.read(member))
    refused(path, "compressed")


def test_a_zip_of_something_else_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "climbs.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../climbed", b"")
    refused(path, "not a weights file")


# ---------------------------------------------------------------- official checkpoints


def official_state() -> dict[str, dict[str, Tensor]]:
    """The paper's network with the weights of the parity recipe, arranged as the official code saves them."""
    state = rebuilt_weights("generator.", "kp_detector.", "discriminator.")
    for entry in recipe()["parameters"]:
        if entry.get("kept"):
            counter = entry["name"].endswith("num_batches_tracked")
            state[entry["name"]] = torch.tensor(7) if counter else torch.ones(entry["shape"])
    parts: dict[str, dict[str, Tensor]] = {"generator": {}, "kp_detector": {}, "discriminator": {}}
    for name, value in state.items():
        part, _, rest = name.partition(".")
        if part in parts:
            parts[part][rest] = value
    return parts


@pytest.fixture(scope="module")
def official() -> dict[str, dict[str, Tensor]]:
    return official_state()


@pytest.mark.slow
def test_an_official_checkpoint_just_works(official: dict[str, dict[str, Tensor]], tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimizer.step()
    trained = {part: {f"module.{n}": t for n, t in entries.items()} for part, entries in official.items()}
    path = tmp_path / "00000099-checkpoint.pth.tar"
    torch.save({**trained, "optimizer_generator": optimizer.state_dict(), "epoch": 99}, path)
    weights = read_weights(path)
    assert weights.config == PRESETS["mcnet"]
    assert (weights.framing, weights.smooth, weights.card) == (None, None, {})
    assert torch.equal(weights.state["generator.final.weight"], official["generator"]["final.weight"])
    assert torch.equal(weights.state["kp_detector.jacobian.bias"], official["kp_detector"]["jacobian.bias"])
    build_model(weights)  # strict: every parameter has found its place


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_flat_checkpoint_in_the_old_layout_works(
    official: dict[str, dict[str, Tensor]], tmp_path: Path, prefix: str
) -> None:
    flat = {f"{prefix}{part}.{name}": t for part, entries in official.items() for name, t in entries.items()}
    path = tmp_path / "flat.pth"
    torch.save(flat, path, _use_new_zipfile_serialization=False)
    assert read_weights(path).config == PRESETS["mcnet"]


@pytest.mark.slow
def test_an_official_checkpoint_converted_by_others_works(
    official: dict[str, dict[str, Tensor]], tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "converted.safetensors"
    save_file(
        {f"{part}.{name}": t for part, entries in official.items() for name, t in entries.items()}, path
    )
    assert read_weights(path).config == PRESETS["mcnet"]


@pytest.mark.slow
def test_a_damaged_official_checkpoint_names_the_parameter(
    official: dict[str, dict[str, Tensor]], tmp_path: Path
) -> None:
    path, name = tmp_path / "official.pth.tar", "final.weight"
    for broken, word in (
        (official["generator"][name] * float("nan"), "finite"),
        (official["generator"][name][:2], "shape"),
        (official["generator"][name].to(torch.int32), "type"),
    ):
        torch.save({**official, "generator": {**official["generator"], name: broken}}, path)
        refused(path, "generator.final.weight", word)


@pytest.mark.parametrize(
    ("content", "epoch"),
    [
        ({"epoch": 99}, 99),
        ({}, None),
        ({"epoch": -1}, None),
        ({"epoch": 1e9}, None),
        ({"epoch": 10**40}, None),
        ({"epoch": True}, None),
        ([99], None),
    ],
)
def test_the_epoch_is_read_where_there_is_one(tmp_path: Path, content: object, epoch: int | None) -> None:
    torch.save(content, tmp_path / "a.pth")
    assert read_epoch(tmp_path / "a.pth") == epoch
