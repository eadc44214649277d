"""On a CUDA device: the CPU's frames again, in every precision, whatever the batch, compiled or not.

Without such a device all of it skips; `pytest -m gpu` runs it.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from animation_tools import difference, write_tiny
from media_tools import number_of, read, write
from places import EXAMPLES

from mcnet_cli import Animator, Motion
from mcnet_cli.media import Codec
from mcnet_cli.media.hardware import device_trouble

FRAMES = 12

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.fixture(scope="module", params=["lite", "the paper's kind"])
def weights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str | Path:
    """The default, and a network like the paper's with jacobians, at its size."""
    if request.param == "lite":
        return "lite"
    return write_tiny(tmp_path_factory.mktemp("w") / "tiny.safetensors", size=256)


@pytest.fixture(scope="module")
def motion(weights: str | Path) -> Motion:
    """The example's first frames, as the CPU reads them."""
    animator = Animator.load(weights, device="cpu", precision="fp32")
    return animator.motion(EXAMPLES / "driving.mp4", max_frames=FRAMES)


def rendered(
    weights: str | Path,
    motion: Motion,
    device: str,
    picture: Literal["photo", "network"] = "photo",
    **options: object,
) -> np.ndarray:
    """(T, H, W, 3) the example's portrait, moved."""
    animator = Animator.load(weights, device=device, **options)  # type: ignore[arg-type]
    portrait = animator.portrait(EXAMPLES / "portrait.jpg")
    return np.stack([*animator.render(portrait, motion, picture=picture)])


@pytest.fixture(scope="module")
def expected(weights: str | Path, motion: Motion) -> np.ndarray:
    """What the CPU makes in float32."""
    return rendered(weights, motion, "cpu", precision="fp32")


# Levels of 255: the mean that rounding allows, and what 1 in 10,000 values may exceed, at motion's edges.
@pytest.mark.parametrize(
    ("precision", "mean", "most"), [("fp32", 0.5, 8), ("bf16", 1.5, 40), ("fp16", 0.7, 20)]
)
def test_a_gpu_makes_the_frames_of_the_cpu(
    weights: str | Path, motion: Motion, expected: np.ndarray, precision: str, mean: float, most: int
) -> None:
    made = rendered(weights, motion, "cuda", precision=precision)
    assert difference(made, expected) < mean
    assert np.quantile(np.abs(made.astype(int) - expected), 0.9999) <= most


def test_a_gpu_makes_the_networks_own_squares_of_the_cpu(weights: str | Path, motion: Motion) -> None:
    made, expected = (
        rendered(weights, motion, device, "network", precision="fp32") for device in ("cuda", "cpu")
    )
    assert difference(made, expected) < 0.02


def test_keypoints_of_a_gpu_are_those_of_the_cpu(weights: str | Path) -> None:
    found = [
        Animator.load(weights, device=device, precision="bf16", detector=None)
        .motion(EXAMPLES / "driving.mp4", crop="none", max_frames=FRAMES)
        .values
        for device in ("cuda", "cpu")
    ]
    assert np.abs(found[0] - found[1]).max() < 1e-4


@pytest.mark.parametrize("batch_size", [1, 5, 12])
def test_the_batch_does_not_show(
    weights: str | Path, motion: Motion, expected: np.ndarray, batch_size: int
) -> None:
    made = rendered(weights, motion, "cuda", precision="fp32", batch_size=batch_size)
    assert difference(made, expected) < 0.5


def test_the_same_input_gives_the_same_frames(weights: str | Path, motion: Motion) -> None:
    films = [rendered(weights, motion, "cuda", precision="bf16") for _ in range(2)]
    assert np.array_equal(films[0], films[1])


@pytest.mark.slow
def test_a_compiled_network_makes_the_same_frames(
    weights: str | Path, motion: Motion, expected: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    made = rendered(weights, motion, "cuda", precision="fp32", compiled=True)
    assert not caplog.records  # a warning would say that the network runs uncompiled
    assert difference(made, expected) < 0.5


def test_batches_are_replayed_from_a_graph(weights: str | Path, motion: Motion, expected: np.ndarray) -> None:
    animator = Animator.load(weights, device="cuda", precision="fp32", batch_size=2)
    made = np.stack([*animator.render(animator.portrait(EXAMPLES / "portrait.jpg"), motion)])
    assert animator.renderer.replays.are_used
    assert difference(made, expected) < 0.5


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_films_are_encoded_and_decoded_by_hardware_if_it_works(tmp_path: Path, codec: Codec) -> None:
    if (trouble := device_trouble("cuda")) is not None:
        pytest.skip(f"ffmpeg can't use the GPU: {trouble}")
    size = (640, 480)
    assert write(tmp_path / "film.mp4", size=size, codec=codec, hwaccel="cuda") == []
    _, frames = read(tmp_path / "film.mp4", hwaccel="cuda")
    assert [number_of(frame) for frame in frames] == [*range(12)]
