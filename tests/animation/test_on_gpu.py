"""The way that frames take on a GPU, taken by a CPU that passes for one; and that it asks nothing of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from animation_tools import difference, recorded, write_tiny
from face_tools import animator, example
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mcnet_cli import Controls, Motion, Transfer
from mcnet_cli.animation.renderer import GPU_WORKERS, Renderer
from mcnet_cli.animation.retarget import Retargeting
from mcnet_cli.checkpoint import read_weights
from mcnet_cli.compositing import details, draw, photo_layers
from mcnet_cli.devices import Compute as Device
from mcnet_cli.devices import choose
from mcnet_cli.errors import WeightsError
from mcnet_cli.model import Keypoints
from mcnet_cli.model.eye_shape import EyeShape
from mcnet_cli.model.mouth_shape import MouthShape
from mcnet_cli.model.replays import Replays
from mcnet_cli.weights import resolve_weights

META = torch.device("meta")  # whose tensors have no values: nothing that is computed can depend on them


@cache
def motion() -> Motion:
    """A mouth that opens in a face that turns aside, and looks elsewhere."""
    return Motion.of(Controls.of(mouth=[0, 0.4, 1, 0.8], yaw=[0, 8, 16, 20], gaze_x=[0, 0, 0.8, 0.8]))


@pytest.fixture
def as_gpu(monkeypatch: pytest.MonkeyPatch) -> Renderer:
    """The default network's renderer, frame by frame, on a CPU that passes for a GPU."""
    monkeypatch.setattr(animator().renderer, "on_gpu", True)
    return animator().renderer


def film(**options: Any) -> np.ndarray:
    return np.stack([*animator().render(example(), motion(), **options)])


@cache
def by_cpu(**options: Any) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(animator().renderer, "on_gpu", False)
        return film(**options)


@pytest.mark.parametrize("options", [{}, {"picture": "face", "size": 128, "background": "transparent"}])
def test_frames_are_those_of_a_cpu(as_gpu: Renderer, options: dict[str, Any]) -> None:
    made, expected = film(**options), by_cpu(**options)
    assert difference(made, expected) < 0.5
    assert np.quantile(np.abs(made.astype(int) - expected), 0.995) <= 8
    assert expected.std(0).max() > 5  # it does move


def test_the_networks_own_squares_are_those_of_a_cpu(as_gpu: Renderer) -> None:
    made, expected = film(picture="network"), by_cpu(picture="network")
    assert np.abs(made.astype(int) - expected).max() <= 1


def test_the_next_batches_are_begun_before_frames_are_fetched(as_gpu: Renderer) -> None:
    begun: list[int] = []
    fetched: list[tuple[int, int]] = []

    def begin(item: int) -> Callable[[], list[Callable[[], int]]]:
        begun.append(item)

        def frame(number: int) -> int:
            fetched.append((item, len(begun)))
            return 2 * item + number

        return lambda: [lambda: frame(0), lambda: frame(1)]

    assert [*as_gpu.frames_in_order(begin, range(8))] == [*range(16)]
    assert all(ahead >= min(item + 2, 8) for item, ahead in fetched)
    assert all(ahead <= item + 2 + GPU_WORKERS for item, ahead in fetched)


def test_values_that_are_not_numbers_are_the_weights_fault(tmp_path: Path) -> None:
    renderer = Renderer(read_weights(write_tiny(tmp_path / "w.safetensors")), choose("cpu", "fp32"))
    renderer.on_gpu = True
    picture = np.zeros((renderer.size, renderer.size, 3), np.uint8)
    source, found = renderer.encode_source(picture), renderer.detect_keypoints([picture])
    found = found.map(lambda values: values * torch.nan)
    for soon in (renderer.draw_soon(source, found), renderer.render_soon(source, found)):
        with pytest.raises(WeightsError, match="not numbers"):
            soon()


def test_recordings_make_room_when_the_memory_is_full(tmp_path: Path) -> None:
    renderer = Renderer(
        read_weights(write_tiny(tmp_path / "w.safetensors")), choose("cpu", "fp32"), batch_size=4
    )
    renderer.replays, compute = Replays(recorded), renderer._frames
    pictures = [*np.random.default_rng(0).integers(0, 255, (5, renderer.size, renderer.size, 3), np.uint8)]
    source, motion = renderer.encode_source(pictures[0]), renderer.detect_keypoints(pictures[1:])
    expected = [renderer.render(source, motion) for _ in range(3)][-1]
    assert renderer.replays.are_used

    def frames(state: Any, layers: Any, motion: Keypoints) -> tuple[Tensor, ...]:
        if len(motion) == 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return compute(state, layers, motion)

    renderer._frames = frames  # type: ignore[method-assign]
    assert np.abs(renderer.render(source, motion).astype(int) - expected).max() <= 1
    assert [count for _, count, _ in renderer.replays._recordings] == [2]


def test_a_film_of_replayed_batches_is_the_same(as_gpu: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = film()
    monkeypatch.setattr(as_gpu, "replays", Replays(recorded))
    made = film()
    assert as_gpu.replays.are_used
    assert np.array_equal(made, expected)


class Undisturbed(TorchDispatchMode):
    """Fails at what would let the processor wait for a GPU, for which the meta device stands here.

    That device itself fails where a value is asked for. Here values fail that are brought to it, by an index
    that is a list among others, and linear algebra that checks for errors.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
        # single numbers are told with the work
        places = {tensor.device.type for tensor in tensors if tensor.dim()}
        assert places != {"cpu", "meta"}, f"{func} brings values to the device"
        if "meta" in places:
            assert str(func) not in ("aten.index.Tensor", "aten.linalg_inv.default"), f"{func} is waited for"
        return result


@contextmanager
def undisturbed() -> Iterator[None]:
    """As `Undisturbed`; tensors aren't made of numbers on the device either."""
    make = torch.tensor

    def made(values: Any, **options: Any) -> Tensor:
        assert options.get("device") != META, f"{values} are brought to the device"
        return make(values, **options)

    with pytest.MonkeyPatch.context() as patched, Undisturbed():
        patched.setattr(torch, "tensor", made)
        yield


@pytest.fixture
def on_meta(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets the meta device pass for a GPU, to which `upload` may bring values."""
    monkeypatch.setattr(torch, "autocast", lambda *_args, **_options: nullcontext())
    for module in (draw, details):
        monkeypatch.setattr(module, "upload", without_values)
    with torch.inference_mode():
        yield


def without_values(values: Any, _device: torch.device) -> Tensor:
    tensor = torch.as_tensor(values)
    assert tensor.dtype == torch.float32  # Apple's GPUs have no float64
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=META)


def moved_to_meta(value: Any) -> Any:
    """The same of all tensors in it."""
    if isinstance(value, Tensor):
        return value.to(META)
    if isinstance(value, tuple):
        return tuple(map(moved_to_meta, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{field.name: moved_to_meta(getattr(value, field.name)) for field in fields(value)}
        )
    return value


@cache
def lite_on_meta() -> Renderer:
    return Renderer(read_weights(resolve_weights("lite")), Device(META, torch.float32, ""))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lite", "the paper's kind"])
def test_the_network_computes_drawings_without_being_waited_for(
    tmp_path: Path, on_meta: None, kind: str
) -> None:
    if kind == "lite":
        renderer, source = lite_on_meta(), example().faces[0].source
    else:
        read = read_weights(write_tiny(tmp_path / "w.safetensors"))
        cpu, renderer = Renderer(read, choose("cpu", "fp32")), Renderer(read, Device(META, torch.float32, ""))
        source = cpu.encode_source(np.zeros((cpu.size, cpu.size, 3), np.uint8))
    state, layers = moved_to_meta(source.state), moved_to_meta(source.layers)
    driving = moved_to_meta(source.keypoints.map(lambda t: t.expand(3, *t.shape[1:]).clone()))
    computed = renderer._drawings(state, layers, driving)  # which makes constants
    with undisturbed():
        again = renderer._drawings(state, layers, driving)
    assert [values.shape for values in again] == [values.shape for values in computed]
    assert all(values.device == META for values in again)


@pytest.mark.slow
def test_frames_are_drawn_without_waiting_for_the_device(on_meta: None) -> None:
    cpu, source, (face,) = animator().renderer, example(), example().faces
    retargeting = Retargeting(motion(), Transfer(), face, cpu.landmarks, 0.0)
    poses = retargeting.pose(np.array([2, 3]))
    painted = torch.zeros(2, 3, cpu.size, cpu.size, device=META)
    drawing = replace(
        cpu.draw(face.source, poses.keypoints, poses.gaze),
        paint=lambda frames, window: painted[frames, :, *window],
    )
    compositor = lite_on_meta().photo_compositor(photo_layers(source.photo, source.people, cpu.size))
    [*compositor.drawn_by_torch([drawing])]  # encodes mouth and eyes
    assert all(movement.paints for (movement,) in compositor._movements([drawing]))
    with undisturbed():
        frames = [*compositor.drawn_by_torch([drawing])]
    for frame in frames:
        assert (frame.shape, frame.dtype, frame.device) == (source.photo.shape, torch.uint8, META)


def test_painters_paint_without_being_waited_for(on_meta: None) -> None:
    model = lite_on_meta().model
    mouth = MouthShape(torch.empty(1, 10, 2, device=META), torch.empty(1, 4, 11, 2, device=META))
    eye = EyeShape(torch.empty(1, 6, 2, device=META), torch.empty(1, 2, 9, 2, device=META))
    for painter, shape in ((model.painter, mouth), (model.eye_painter, eye)):
        assert painter is not None
        size = painter.config.size
        picture = torch.empty(1, 3, size, size, device=META)
        source = painter.encode(picture, shape)
        painter(picture, shape, source)  # which makes constants
        with undisturbed():
            paint = painter(picture, shape, source)
        assert paint.colours.shape == picture.shape
