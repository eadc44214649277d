"""The network against golden tensors of the official one, made with weights that a recipe rebuilds."""

from collections.abc import Iterator

import pytest
import torch
from parity_tools import assert_close, goldens, needs_goldens, picture, rebuilt_model
from torch import Tensor

from mcnet_cli.model import Keypoints, MCNet, Rendering, SourceState, transfer_motion

pytestmark = needs_goldens


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return goldens()


@pytest.fixture(scope="module")
def model() -> MCNet:
    return rebuilt_model()


@pytest.fixture(scope="module", autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def keypoints(model: MCNet, golden: dict[str, Tensor]) -> dict[str, Keypoints]:
    driving = picture(golden, "driving")
    pictures = {"source": picture(golden, "source"), "driving": driving, "initial": driving.flip(-1)}
    return {name: model.detect_keypoints(image) for name, image in pictures.items()}


@pytest.fixture(scope="module")
def state(model: MCNet, golden: dict[str, Tensor]) -> SourceState:
    return model.encode_source(picture(golden, "source"))


@pytest.fixture(scope="module")
def rendering(model: MCNet, state: SourceState, keypoints: dict[str, Keypoints]) -> Rendering:
    rendering: Rendering = model(state, keypoints["driving"])
    return rendering


@pytest.mark.parametrize("name", ["source", "driving", "initial"])
def test_keypoints_equal_the_official_ones(
    name: str, keypoints: dict[str, Keypoints], golden: dict[str, Tensor]
) -> None:
    assert_close(keypoints[name].values, golden[f"keypoints.{name}.value"], 1e-5)
    jacobians = keypoints[name].jacobians
    assert jacobians is not None
    assert_close(jacobians, golden[f"keypoints.{name}.jacobian"], 1e-5)


def test_dense_motion_equals_the_official_one(rendering: Rendering, golden: dict[str, Tensor]) -> None:
    motion = rendering.motion
    assert_close(motion.mask[..., ::4, ::4], golden["dense_motion.mask"], 1e-4)
    assert_close(motion.occlusion, golden["dense_motion.occlusion"], 1e-4)
    assert_close(motion.deformation, golden["dense_motion.deformation"], 1e-4)
    assert_close(motion.sparse_deformed[..., ::8, ::8], golden["dense_motion.sparse_deformed"], 1e-4)


@pytest.mark.parametrize("index, size", list(enumerate((32, 64, 128))))
@pytest.mark.parametrize(
    "part", ["before", "projected", "styled_memory", "key", "value", "query", "residual", "after"]
)
def test_memory_equals_the_official_one(
    part: str, index: int, size: int, rendering: Rendering, golden: dict[str, Tensor]
) -> None:
    stride = 4 if part in ("styled_memory", "key", "value") else size // 8
    actual = getattr(rendering.memory[index], part)[..., ::stride, ::stride]
    assert_close(actual, golden[f"memory.{part}_{size}"], 1e-3, 1e-5)


def test_prediction_equals_the_official_one(rendering: Rendering, golden: dict[str, Tensor]) -> None:
    assert_close(rendering.deformed, golden["generator.deformed"], 1e-3, 1e-5)
    assert_close(rendering.prediction, golden["generator.prediction"], 1e-3, 1e-5)


@pytest.mark.parametrize("mode", ["absolute", "relative", "relative_adapt"])
def test_motion_transfer_equals_the_official_one(
    mode: str, model: MCNet, state: SourceState, keypoints: dict[str, Keypoints], golden: dict[str, Tensor]
) -> None:
    source, driving, initial = (keypoints[name] for name in ("source", "driving", "initial"))
    motion = driving
    if mode != "absolute":
        scale = 1.0
        if mode == "relative_adapt":
            from mcnet_cli.animation.retarget import hull_scale

            scale = hull_scale(source.values[0].numpy(), initial.values[0].numpy())
        motion = transfer_motion(driving, initial, source, scale)
    assert motion.jacobians is not None
    assert_close(motion.values, golden[f"motion.{mode}.value"], 1e-5)
    assert_close(motion.jacobians, golden[f"motion.{mode}.jacobian"], 1e-5)
    prediction, stride = model.render(state, motion), 1 if mode == "relative_adapt" else 2
    assert_close(prediction[..., ::stride, ::stride], golden[f"motion.{mode}.prediction"], 1e-3, 1e-5)


def test_a_batch_renders_as_its_frames_one_by_one(
    model: MCNet, state: SourceState, keypoints: dict[str, Keypoints], rendering: Rendering
) -> None:
    both = Keypoints(
        torch.cat([keypoints["initial"].values, keypoints["driving"].values]),
        torch.cat([keypoints["initial"].jacobians, keypoints["driving"].jacobians]),  # type: ignore[list-item]
    )
    assert_close(model.render(state, both)[1:], rendering.prediction, 1e-3, 1e-5)
