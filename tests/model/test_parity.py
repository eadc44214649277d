"""The network against golden tensors of the official one, made with weights that a recipe rebuilds."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from parity_tools import KeepDouble, assert_close, goldens, picture, rebuilt_model
from torch import Tensor

from mcnet_cli.model import Keypoints, MCNet, Rendering, SourceState, transfer_motion
from mcnet_cli.motion.reference import hull_scale


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Largest absolute errors; of features and pictures also the mean error."""

    dtype: torch.dtype
    keypoints: float
    motion: float
    largest: float
    mean: float


# In double precision nothing is left but the goldens' own rounding, so this holds on any machine.
DOUBLE = Accuracy(torch.float64, 1e-5, 1e-4, 1e-3, 1e-5)
# In single precision the order of summation counts, as the weights are steep. With AVX-512, AVX2 or SSE, one
# to four threads, channels first or last, errors were at most 6e-6, 1e-4, 2e-3 and 2e-5.
SINGLE = Accuracy(torch.float32, 2e-5, 3e-4, 5e-3, 5e-5)


@pytest.fixture(
    scope="module", params=[SINGLE, pytest.param(DOUBLE, marks=pytest.mark.slow)], ids=["single", "double"]
)
def accuracy(request: pytest.FixtureRequest) -> Iterator[Accuracy]:
    """The precision in which the network computes, without gradients, and what to expect of it."""
    with torch.inference_mode(), KeepDouble():
        yield request.param


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return goldens()


@pytest.fixture(scope="module")
def model(accuracy: Accuracy) -> MCNet:
    return rebuilt_model().to(accuracy.dtype)


@pytest.fixture(scope="module")
def keypoints(model: MCNet, accuracy: Accuracy) -> dict[str, Keypoints]:
    driving = picture("driving", accuracy.dtype)
    pictures = {"source": picture("source", accuracy.dtype), "driving": driving, "initial": driving.flip(-1)}
    return {name: model.detect_keypoints(image) for name, image in pictures.items()}


@pytest.fixture(scope="module")
def state(model: MCNet, accuracy: Accuracy) -> SourceState:
    return model.encode_source(picture("source", accuracy.dtype))


@pytest.fixture(scope="module")
def motions(keypoints: dict[str, Keypoints]) -> dict[str, Keypoints]:
    """The driving's motion as it is, and carried over to the source."""
    source, driving, initial = (keypoints[name] for name in ("source", "driving", "initial"))
    scale = hull_scale(source.values[0].numpy(), initial.values[0].numpy())
    return {
        "absolute": driving,
        "relative": transfer_motion(driving, initial, source, 1.0),
        "relative_adapt": transfer_motion(driving, initial, source, scale),
    }


@pytest.fixture(scope="module")
def rendering(model: MCNet, state: SourceState, motions: dict[str, Keypoints]) -> Rendering:
    """A batch of two, the absolute motion and the relative one; the official frames were made one by one."""
    batch = [motions[mode] for mode in ("absolute", "relative_adapt")]
    jacobians = [motion.jacobians for motion in batch if motion.jacobians is not None]
    motion = Keypoints(torch.cat([motion.values for motion in batch]), torch.cat(jacobians))
    rendering: Rendering = model(state, motion)
    return rendering


@pytest.mark.parametrize("name", ["source", "driving", "initial"])
def test_keypoints_equal_the_official_ones(
    name: str, keypoints: dict[str, Keypoints], golden: dict[str, Tensor], accuracy: Accuracy
) -> None:
    assert_close(keypoints[name].values, golden[f"keypoints.{name}.value"], accuracy.keypoints)
    jacobians = keypoints[name].jacobians
    assert jacobians is not None
    assert_close(jacobians, golden[f"keypoints.{name}.jacobian"], accuracy.keypoints)


def test_dense_motion_equals_the_official_one(
    rendering: Rendering, golden: dict[str, Tensor], accuracy: Accuracy
) -> None:
    for part, stride in (("mask", 4), ("occlusion", 1), ("sparse_deformed", 8)):
        actual = getattr(rendering.motion, part)[:1, ..., ::stride, ::stride]
        assert_close(actual, golden[f"dense_motion.{part}"], accuracy.motion)
    assert_close(rendering.motion.deformation[:1], golden["dense_motion.deformation"], accuracy.motion)


@pytest.mark.parametrize("index, size", list(enumerate((32, 64, 128))))
@pytest.mark.parametrize(
    "part", ["before", "projected", "styled_memory", "key", "value", "query", "residual", "after"]
)
def test_memory_equals_the_official_one(
    part: str, index: int, size: int, rendering: Rendering, golden: dict[str, Tensor], accuracy: Accuracy
) -> None:
    stride = 4 if part in ("styled_memory", "key", "value") else size // 8
    actual = getattr(rendering.memory[index], part)[:1, :, ::stride, ::stride]
    assert_close(actual, golden[f"memory.{part}_{size}"], accuracy.largest, accuracy.mean)


def test_prediction_equals_the_official_one(
    rendering: Rendering, golden: dict[str, Tensor], accuracy: Accuracy
) -> None:
    for name, actual in (
        ("generator.deformed", rendering.deformed[:1]),
        ("generator.prediction", rendering.prediction[:1]),
        ("motion.relative_adapt.prediction", rendering.prediction[1:]),
    ):
        assert_close(actual, golden[name], accuracy.largest, accuracy.mean)


@pytest.mark.parametrize("mode", ["absolute", "relative", "relative_adapt"])
def test_motion_transfer_equals_the_official_one(
    mode: str, motions: dict[str, Keypoints], golden: dict[str, Tensor], accuracy: Accuracy
) -> None:
    motion = motions[mode]
    assert motion.jacobians is not None
    assert_close(motion.values, golden[f"motion.{mode}.value"], accuracy.keypoints)
    assert_close(motion.jacobians, golden[f"motion.{mode}.jacobian"], accuracy.keypoints)
