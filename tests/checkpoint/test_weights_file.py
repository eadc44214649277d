"""Weights files: what is written is read again, and nothing broken or hostile gets through."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_tools import refused
from places import SHIPPED
from torch import Tensor

from mcnet_cli.checkpoint import build_model, detector_digest, read_weights, write_weights
from mcnet_cli.checkpoint.safetensors_file import read_header
from mcnet_cli.errors import UsageError, WeightsError
from mcnet_cli.face import OUTER
from mcnet_cli.model import PRESETS, MCNet, ModelConfig
from mcnet_cli.model.config import (
    GeneratorConfig,
    HourglassConfig,
    KeypointConfig,
    MemoryConfig,
    MotionConfig,
)
from mcnet_cli.model.presets import described

FRAMING = {"face_height": 0.53, "center_x": 0.5, "center_y": 0.54}

TINY = ModelConfig(
    size=64,
    keypoints=KeypointConfig(4, False, HourglassConfig(4, 8, 2), kernel=3, padded=True),
    motion=MotionConfig(HourglassConfig(4, 8, 2), kernel=3),
    memory=MemoryConfig(sizes=(32, 64), width=8, style_width=4, bank_size=4, experts=1),
    generator=GeneratorConfig(channels=(4, 8, 8), stem_stride=2, residual_blocks=(1, 1)),
)


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return dict(MCNet(TINY).state_dict())


@pytest.fixture
def good(tmp_path: Path, state: dict[str, Tensor]) -> Path:
    path = tmp_path / "good.safetensors"
    write_weights(
        path, state, TINY, framing=FRAMING, smooth=0.7, card={"trained_on": "nothing", "minutes": 0}
    )
    return path


def rebuilt(source: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a safetensors file whose header `change` has edited."""
    raw = source.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    target.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])
    return target


# ---------------------------------------------------------------- our own format


def test_what_is_written_is_read_again(good: Path, state: dict[str, Tensor]) -> None:
    weights = read_weights(good)
    assert weights.config == TINY
    assert (weights.framing, weights.smooth) == (FRAMING, 0.7)
    assert weights.card == {"trained_on": "nothing", "minutes": 0}
    assert set(weights.state) == {name for name in state if not name.endswith("num_batches_tracked")}
    for name, tensor in weights.state.items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, state[name], rtol=1e-3, atol=1e-6)


def test_whole_precision_is_exact(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "whole.safetensors"
    write_weights(path, state, TINY, framing=None, smooth=None, card={}, half=False)
    weights = read_weights(path)
    assert weights.framing is None and weights.smooth is None
    assert all(torch.equal(tensor, state[name]) for name, tensor in weights.state.items())


def test_half_precision_halves_the_file_and_keeps_what_does_not_fit(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    name = "generator.final.weight"
    large = {**state, name: torch.full_like(state[name], 1e6)}
    half, whole = tmp_path / "half", tmp_path / "whole"
    write_weights(half, large, TINY, framing=None, smooth=None, card={})
    write_weights(whole, large, TINY, framing=None, smooth=None, card={}, half=False)
    assert half.stat().st_size < 0.7 * whole.stat().st_size
    assert torch.equal(read_weights(half).state[name], large[name])


def test_equal_weights_give_equal_bytes(good: Path, tmp_path: Path, state: dict[str, Tensor]) -> None:
    again = tmp_path / "again.safetensors"
    shuffled = dict(reversed(state.items()))
    write_weights(
        again, shuffled, TINY, framing=FRAMING, smooth=0.7, card={"trained_on": "nothing", "minutes": 0}
    )
    assert again.read_bytes() == good.read_bytes()


def test_other_programs_read_the_file(good: Path, state: dict[str, Tensor]) -> None:
    from safetensors.torch import load_file

    assert set(load_file(good)) == {name for name in state if not name.endswith("num_batches_tracked")}


def test_broken_parameters_are_never_written(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path, name = tmp_path / "w.safetensors", "generator.final.bias"
    for broken in (
        {**state, name: torch.full_like(state[name], float("nan"))},
        {**state, name: state[name][:-1]},
        {key: tensor for key, tensor in state.items() if key != name},
    ):
        with pytest.raises(WeightsError, match=name):
            write_weights(path, broken, TINY, framing=None, smooth=None, card={})
    assert list(tmp_path.iterdir()) == []


def test_landmarks_are_kept_where_keypoints_stand_for_some(tmp_path: Path) -> None:
    config = replace(TINY, keypoints=replace(TINY.keypoints, jacobians=False))
    entries, count = MCNet(config).state_dict(), config.keypoints.count
    path = tmp_path / "w.safetensors"
    wanted = (*range(10, 9 + count), OUTER[-1])
    config = replace(config, keypoints=replace(config.keypoints, landmarks=wanted))
    write_weights(path, entries, config, framing=None, smooth=None, card={})
    assert read_weights(path).config == config
    assert read_weights(path).landmarks == wanted
    for wrong in (wanted[:-1], (*wanted[:-1], OUTER[-1] + 1), (*wanted[:-1], -1), ()):
        said = {"mcnet.landmarks": json.dumps(wrong)}
        odd = rebuilt(path, tmp_path / "odd", lambda header, said=said: header["__metadata__"].update(said))
        refused(odd, "mcnet.landmarks")


def test_files_say_landmarks_beside_the_config_as_they_always_did(tmp_path: Path) -> None:
    shipped = SHIPPED / "mcnet-lite.safetensors"
    weights = read_weights(shipped)
    assert weights.config == PRESETS["lite"]
    assert described(weights.config) == "lite"
    again = tmp_path / "again.safetensors"
    facts = {"framing": weights.framing, "smooth": weights.smooth, "card": weights.card}
    write_weights(again, weights.state, weights.config, **facts)
    assert read_header(again).metadata == read_header(shipped).metadata


def test_learned_keypoints_have_no_landmarks(good: Path) -> None:
    assert read_weights(good).landmarks is None


def test_an_existing_file_is_kept_unless_asked(good: Path, state: dict[str, Tensor]) -> None:
    before = good.read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        write_weights(good, state, TINY, framing=None, smooth=None, card={}, overwrite=False)
    assert good.read_bytes() == before


def test_the_model_built_is_ready_to_run(good: Path, state: dict[str, Tensor]) -> None:
    model = build_model(read_weights(good))
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.generator.first.conv.weight.is_contiguous(memory_format=torch.channels_last)
    image = torch.rand(1, 3, 64, 64)
    frames = model.render(model.encode_source(image), model.detect_keypoints(image))
    assert frames.shape == (1, 3, 64, 64) and bool(torch.isfinite(frames).all())


def test_the_detectors_digest_depends_on_the_detector_alone(good: Path) -> None:
    weights = read_weights(good)
    other = {name: t + 1 if name.startswith("generator.") else t for name, t in weights.state.items()}
    changed = {name: t + 1e-3 if name == "kp_detector.kp.bias" else t for name, t in weights.state.items()}
    assert detector_digest(weights) == detector_digest(weights.state) == detector_digest(other)
    assert detector_digest(changed) != detector_digest(weights)
    assert len(detector_digest(weights)) == 64


# ---------------------------------------------------------------- broken safetensors


def test_a_missing_file_a_folder_and_an_empty_file_are_named(tmp_path: Path) -> None:
    refused(tmp_path / "no.safetensors", "No such file")
    refused(tmp_path, "folder")
    empty = tmp_path / "empty.pth"
    empty.touch()
    refused(empty, "empty")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_a_pipe_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    refused(tmp_path / "pipe.pth", "not a regular file")


def test_the_content_decides_not_the_suffix(good: Path, tmp_path: Path) -> None:
    renamed = good.rename(tmp_path / "good.pth.tar")
    assert read_weights(renamed).config == TINY


def test_a_web_page_is_called_one(tmp_path: Path) -> None:
    page = tmp_path / "page.pth.tar"
    page.write_bytes(b"\n <!doctype html><title>Quota exceeded</title>")
    refused(page, "web page")


def test_noise_is_not_a_weights_file(tmp_path: Path) -> None:
    noise = tmp_path / "noise.safetensors"
    noise.write_bytes(b"\x13" * 5000)
    refused(noise, "not a weights file")


def test_a_cut_file_is_truncated(good: Path, tmp_path: Path) -> None:
    raw = good.read_bytes()
    for keep in (len(raw) - 100, 4000, 40):
        (tmp_path / "cut").write_bytes(raw[:keep])
        assert "cut off" in (text := refused(tmp_path / "cut")) or "truncated" in text


@pytest.mark.parametrize(
    "header", [b'{"w":' + b"[" * 50_000, b"{not json", b'{"w": 3}', b'{"w": {"shape": [1]}}']
)
def test_a_header_that_cannot_be_read_is_damage(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    refused(path, "header")


def test_a_huge_header_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "many.safetensors"
    entry = b'"%07d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},'
    header = b"{" + b"".join(entry % n for n in range(100_000))[:-1] + b"}"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    refused(path, "too large")


def test_shapes_that_overflow_are_damage(good: Path, tmp_path: Path) -> None:
    def claim(header: dict[str, Any]) -> None:
        header["generator.final.weight"]["shape"] = [2**33, 2**33]

    refused(rebuilt(good, tmp_path / "overflow", claim), "damaged")


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("mcnet.format", "999", "too new"),
        ("mcnet.config", "{", "config"),
        ("mcnet.config", '{"size": 1000000000}', "size"),
        ("mcnet.config", '{"base_width": 1000000000}', "base_width"),
        ("mcnet.framing", '{"face_height": 0.5}', "mcnet.framing"),
        ("mcnet.framing", '{"face_height": NaN, "center_x": 0.5, "center_y": 0.5}', "mcnet.framing"),
        ("mcnet.framing", "[" * 50_000, "mcnet.framing"),
        ("mcnet.smooth", "1e9", "mcnet.smooth"),
        ("mcnet.smooth", "nan", "mcnet.smooth"),
        ("mcnet.card", "[]", "mcnet.card"),
        ("mcnet.landmarks", "[1]", "mcnet.landmarks"),
        ("mcnet.landmarks", "{}", "mcnet.landmarks"),
        ("mcnet.landmarks", '["a"]', "mcnet.landmarks"),
    ],
)
def test_metadata_is_checked(good: Path, tmp_path: Path, key: str, value: str, word: str) -> None:
    refused(rebuilt(good, tmp_path / "odd", lambda header: header["__metadata__"].update({key: value})), word)


def test_a_config_that_asks_for_the_largest_network_takes_no_memory(good: Path, tmp_path: Path) -> None:
    def inflate(header: dict[str, Any]) -> None:
        config = json.loads(header["__metadata__"]["mcnet.config"])
        config["generator"].update(channels=[1024] * 3, residual_blocks=[8, 8])
        config["memory"].update(width=1024, experts=16)
        header["__metadata__"]["mcnet.config"] = json.dumps(config)

    refused(rebuilt(good, tmp_path / "large", inflate), "too large")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda w: w.update({"generator.final.bias": np.full(12, np.nan, np.float32)}),
            ["generator.final.bias", "finite"],
        ),
        (
            lambda w: w.update({"generator.final.bias": np.full(12, np.inf, np.float32)}),
            ["generator.final.bias", "finite"],
        ),
        (lambda w: w.update({"generator.final.bias": np.zeros(11, np.float32)}), ["(11,)", "(12,)"]),
        (lambda w: w.update({"generator.final.bias": np.zeros(12, np.int8)}), ["type", "I8"]),
        (lambda w: w.update({"somebody.else": np.zeros(1, np.float32)}), ["unexpected somebody.else"]),
        (lambda w: w.pop("generator.final.bias"), ["missing generator.final.bias"]),
    ],
)
def test_parameters_are_checked(
    good: Path, tmp_path: Path, change: Callable[[Any], None], words: list[str]
) -> None:
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    arrays = load_file(good)
    with safe_open(good, "np") as file:
        metadata = file.metadata()
    change(arrays)
    save_file(arrays, tmp_path / "changed", metadata)
    refused(tmp_path / "changed", *words)


# ---------------------------------------------------------------- what reading costs


def test_reading_weights_does_not_import_the_compiler(tmp_path: Path) -> None:
    """Shapes are read off a network on the meta device; drawing numbers there cost 1.5 s of imports."""
    shipped = SHIPPED / "mcnet-lite.safetensors"
    paper, keypoints = tmp_path / "w.safetensors", replace(TINY.keypoints, jacobians=True)
    config = replace(TINY, keypoints=keypoints, memory=replace(TINY.memory, experts=4))  # all its layers
    write_weights(paper, MCNet(config).state_dict(), config, framing=None, smooth=None, card={})
    code = "import sys; from pathlib import Path; from mcnet_cli.checkpoint import read_weights; "
    code += f"[read_weights(Path(path)) for path in {[str(shipped), str(paper)]!r}]; "
    code += "print('torch._dynamo' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout == "False\n"
