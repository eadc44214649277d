"""`Renderer`: the network on its device; pictures in, keypoints and pictures out, batch by batch."""

import logging
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from mcnet_cli.arrays import Picture
from mcnet_cli.checkpoint import Weights, build_model, detector_digest
from mcnet_cli.compositing import Compositor, Drawing, Gaze, PhotoCompositor, PhotoLayers, SourceLayers
from mcnet_cli.devices import Compute, computing, exact
from mcnet_cli.errors import SystemFailure, WeightsError, shown
from mcnet_cli.model import Keypoints, MCNet, ModelConfig, SourceState, optimised
from mcnet_cli.model.replays import Replays, cuda_graph
from mcnet_cli.model.windows import Window
from mcnet_cli.threads import Done, Item, in_order
from mcnet_cli.transfers import Later, download, upload

BATCH = 4
WORKERS = 4  # threads at most, on a CPU, each with a batch of its own
GPU_BATCH_LIMIT = 32
GPU_WORKERS = 2  # threads that decide what a GPU draws, each for a batch of its own
MAPS_ALIVE = 30  # feature maps of the finest size that a frame holds at once: `mcnet` 29, `lite` 14
LARGE_FRAME = 256 << 20  # bytes of feature maps, from which on one frame keeps all cores busy

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class EncodedSource:
    """All that rendering needs of a source.

    state: the network's, and layers: what frames are made of, on its device. keypoints: the source's, on the
    CPU in float32.
    """

    state: SourceState
    layers: SourceLayers
    keypoints: Keypoints


class Renderer:
    """A network ready to compute. Keypoints are always computed in float32: a coordinate needs its bits.

    batch_size: None chooses by the memory that a frame needs. compiled: by torch.compile, which costs a
    minute at the start; where it can't be done, a warning says so and the network runs as it is.
    paints: whether frames of a photo show what the network paints, or the warped photo alone.
    """

    def __init__(
        self,
        weights: Weights,
        compute: Compute,
        *,
        batch_size: int | None = None,
        compiled: bool = False,
        paints: bool = True,
    ) -> None:
        self.path: Path = weights.path
        self.config: ModelConfig = weights.config
        self.compute = compute
        self.digest = detector_digest(weights)
        self.landmarks = weights.config.keypoints.landmarks
        self.batch_size = batch_size or suitable_batch_size(weights.config, compute)
        self._at_once = self.batch_size  # fewer if a GPU's memory doesn't hold them
        on_cpu = compute.device.type == "cpu" and compute.dtype == torch.float32
        self.model: MCNet = optimised(build_model(weights), by_winograd=on_cpu).to(compute.device)
        # The layers of a small network are too small to share among cores: each thread takes whole frames.
        self._is_spread = (
            batch_size is None and self.batch_size > 1 and compute.device.type == "cpu" and not compiled
        )
        self.compositor = Compositor(self.model)
        self._paints = paints
        for name in self.config.painters:
            # painters take one mouth or eye at a time: casting weights for each takes as long as their work
            getattr(self.model, name).to(compute.dtype)
        # A GPU gets work ahead, and nothing is asked of it meanwhile. (Tests let a CPU pass for one.)
        self.on_gpu = compute.device.type != "cpu"
        self.replays = Replays(cuda_graph if compute.device.type == "cuda" and not compiled else None)
        self._compiled: dict[bool, Callable[..., tuple[Tensor, ...]]] = {}
        if compiled:
            self._compiled = {True: torch.compile(self._frames), False: torch.compile(self._drawings)}

    @cached_property
    def workers(self) -> int:
        """How many threads render at once, each a batch of its own; by torch's threads at the first frame."""
        return min(torch.get_num_threads(), WORKERS) if self._is_spread else 1

    @property
    def size(self) -> int:
        """Side in pixels of the network's pictures."""
        return self.config.size

    def detect_keypoints(self, pictures: list[Picture]) -> Keypoints:
        """Keypoints, on the CPU, of (size, size, 3) pictures."""
        with computing(self.compute.device):
            keypoints = self.model.detect_keypoints(self._tensor(pictures)).map(
                lambda t: t.float().cpu().clone()
            )
        if not all(torch.isfinite(t).all() for t in (keypoints.values, keypoints.jacobians) if t is not None):
            raise WeightsError(
                f"{shown(self.path)} gives keypoints that are not numbers", hint="take other --weights"
            )
        return keypoints

    @property
    def margin(self) -> int:
        """How many pixels beyond its square the network can show where a motion brings them into view."""
        return self.compositor.margin

    def encode_source(
        self,
        picture: Picture,
        values: NDArray[np.float32] | None = None,
        surroundings: Picture | None = None,
        top: int = 0,
    ) -> EncodedSource:
        """All that rendering needs of a (size, size, 3) source; its keypoints (K, 2) where they are known.

        surroundings: the same picture with `margin` more pixels on each side. top: how many of its rows lie
        above the photo.
        """
        keypoints = None
        if values is not None:
            keypoints = Keypoints(torch.from_numpy(values)[None].to(self.compute.device))
        with computing(self.compute.device):
            state = self.model.encode_source(self._tensor([picture]), keypoints)
            around = None if surroundings is None else self._tensor([surroundings])
            known = state.keypoints.map(lambda t: t.float().cpu())
            return EncodedSource(state, self.compositor.layers(state, around, top), known)

    def render(self, source: EncodedSource, motion: Keypoints) -> NDArray[np.uint8]:
        """(B, size, size, 3) frames, rounded to 0..255, of B keypoints; at most `batch_size` at once."""
        return self.render_soon(source, motion)()

    def render_soon(self, source: EncodedSource, motion: Keypoints) -> Later[NDArray[np.uint8]]:
        """The same, while a GPU still computes."""
        with computing(self.compute.device):
            (prediction,), check = self._computed(source, motion, frames=True)
            frames = prediction.mul(255).round().clamp(0, 255).to(torch.uint8)
            arriving = download(rearrange(frames, "b c h w -> b h w c").contiguous())

        def pixels() -> NDArray[np.uint8]:
            check()
            arrived: NDArray[np.uint8] = arriving().numpy()
            return arrived

        return pixels

    def draw(self, source: EncodedSource, motion: Keypoints, gaze: Gaze | None = None) -> Drawing:
        """What frames of any size are put together from, for B keypoints, in float32.

        motion, gaze: on the CPU; gaze is where irises go in these frames.
        """
        return self.draw_soon(source, motion, gaze)()

    def draw_soon(self, source: EncodedSource, motion: Keypoints, gaze: Gaze | None = None) -> Later[Drawing]:
        """The same, while a GPU still computes."""
        places = source.keypoints.values, motion.values
        with computing(self.compute.device):
            if not self.on_gpu and not self._compiled:
                person, whole, occlusion, paint = self._moved(source, motion)
                drawing = Drawing(person, whole, occlusion, *places, paint, gaze)
                return lambda: drawing
            # all is painted: a GPU would have to wait until the processor has found out what is seen of it
            (*maps, painted), check = self._computed(source, motion, frames=False)
            person_soon, whole_soon, occlusion_soon = map(download, maps)

        def arrived() -> Drawing:
            check()
            return Drawing(
                *(person_soon(), whole_soon(), occlusion_soon()),
                *places,
                lambda frames, window: painted[frames, :, *window],
                gaze,
            )

        return arrived

    def photo_compositor(self, layers: PhotoLayers) -> PhotoCompositor:
        """What puts frames of a photo together from drawings."""
        device, model = self.compute.device, self.model
        return PhotoCompositor(
            layers,
            model.parts,
            device,
            by_opencv=not self.on_gpu,
            paints=self._paints,
            painter=model.painter,
            eye_painter=model.eye_painter,
            placing=() if model.painter is None else model.placing,
        )

    def in_order(self, work: Callable[[Item], Done], items: Iterable[Item]) -> Generator[Done, None, None]:
        """`work` on each of the items, in their order; `workers` threads share the processor's cores."""
        if self.workers == 1:
            yield from map(work, items)
            return
        threads = torch.get_num_threads()
        share = -(-threads // self.workers)
        try:
            yield from in_order(
                work, items, self.workers, initializer=torch.set_num_threads, initargs=(share,)
            )
        finally:
            torch.set_num_threads(threads)  # some of what the workers set holds for the whole process

    def frames_in_order(
        self, begin: Callable[[Item], Later[list[Later[Done]]]], items: Iterable[Item]
    ) -> Generator[Done, None, None]:
        """All frames of all items, in their order.

        A CPU's threads share the items. A GPU is told of the next ones, and draws, while frames of those
        before are fetched.

        begin: starts the network for an item; what it returns waits for that, and starts drawing.
        """
        if not self.on_gpu or self.compute.device.type == "mps":  # which several threads may not use
            for frames in self.in_order(lambda item: [frame() for frame in begin(item)()], items):
                yield from frames
            return
        with exact(self.compute.device):
            for drawn in in_order(lambda begun: begun(), map(begin, items), GPU_WORKERS):
                while drawn:
                    yield drawn.pop(0)()  # so its memory is free before the next one is drawn

    def _moved(
        self, source: EncodedSource, driving: Keypoints
    ) -> tuple[Tensor, Tensor, Tensor, Callable[[slice, Window], Tensor]]:
        """The first three fields of a drawing, and its `paint`."""
        with self.compute.autocast():
            moved = self.compositor.moved(source.state, driving)
        person, whole, occlusion = moved.person, moved.motion.deformation, moved.occlusion
        self._check(person, whole, occlusion)()

        def paint(frames: slice, window: Window) -> Tensor:
            with computing(self.compute.device), self.compute.autocast():
                painted = self.compositor.painted(
                    source.state, source.layers, driving[frames], moved.motion[frames], window
                )
            self._check(painted)()
            return painted.float()

        return person.float(), whole.float(), occlusion.float(), paint

    def _computed(
        self, source: EncodedSource, motion: Keypoints, *, frames: bool
    ) -> tuple[list[Tensor], Callable[[], None]]:
        """A batch from the compositor, in float32, and its `_check`.

        frames: make finished frames; otherwise drawings, which frames of any size are composed from. What a
        GPU's memory doesn't hold is computed in halves, now and from then on.
        """
        motion = motion.map(lambda t: upload(t, self.compute.device))
        made, start = [], 0
        while start < len(motion):
            part = motion[start : start + self._at_once]
            try:
                made.append(self._values(source, part, frames))
            except torch.OutOfMemoryError as error:
                if len(part) == 1:
                    raise SystemFailure(
                        "the GPU's memory doesn't hold a single frame",
                        hint="close what else uses the GPU, or take --device cpu",
                    ) from error
                self._at_once = len(part) // 2
                log.warning("the GPU's memory doesn't hold %d frames, computing fewer at once", len(part))
                self.replays.forget()
                torch.cuda.empty_cache()
            else:
                start += len(part)
        values = made[0] if len(made) == 1 else [*map(torch.cat, zip(*made, strict=True))]
        return [each.float() for each in values], self._check(*values)

    def _check(self, *found: Tensor) -> Callable[[], None]:
        """What raises WeightsError if these hold numbers that aren't finite; it waits for a GPU."""
        are_finite = download(torch.stack([torch.isfinite(values).all() for values in found]).all())

        def check() -> None:
            if not bool(are_finite()):
                hint = "take --precision fp32" if self.compute.precision != "fp32" else "take other --weights"
                raise WeightsError(f"{shown(self.path)} gives pictures that are not numbers", hint=hint)

        return check

    def _values(self, source: EncodedSource, motion: Keypoints, frames: bool) -> tuple[Tensor, ...]:
        """Frames or drawings of a batch, from the compiled network if there is one."""

        def computed(motion: Keypoints) -> tuple[Tensor, ...]:
            with self.compute.autocast():
                return (self._frames if frames else self._drawings)(source.state, source.layers, motion)

        found = self._compiled_values(source, motion, frames) if self._compiled else None
        if found is None:
            found = self.replays((source, len(motion), frames), computed, motion)
        return found

    def _frames(self, state: SourceState, layers: SourceLayers, motion: Keypoints) -> tuple[Tensor, ...]:
        return (self.compositor.frames(state, layers, motion),)

    def _drawings(self, state: SourceState, layers: SourceLayers, motion: Keypoints) -> tuple[Tensor, ...]:
        return self.compositor.drawings(state, layers, motion)

    def _compiled_values(
        self, source: EncodedSource, motion: Keypoints, frames: bool
    ) -> tuple[Tensor, ...] | None:
        """A batch from the compiled network; None, after a warning, where it can't be compiled."""
        count = len(motion)
        # Each new batch size would be compiled anew, so the last batch repeats its last frame.
        padded = motion.map(lambda t: torch.cat([t, t[-1:].expand(self._at_once - count, *t.shape[1:])]))
        try:
            with self.compute.autocast():
                values = self._compiled[frames](source.state, source.layers, padded)
            return tuple(each[:count] for each in values)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # a compiler may fail in any way: none installed, no disk, a bug
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            log.warning("--compile: can't be done here, going on without (%s)", shown(reason))
            self._compiled = {}
            return None

    def _tensor(self, pictures: list[Picture]) -> Tensor:
        """(B, 3, H, W) in [0, 1] on the device, of (H, W, 3) pictures."""
        batch = torch.from_numpy(np.stack(pictures)).to(self.compute.device)
        return rearrange(batch, "b h w c -> b c h w").float().div(255)


def suitable_batch_size(config: ModelConfig, compute: Compute) -> int:
    """Frames rendered at once: small on a CPU, on a GPU what half of its free memory holds."""
    side = config.size // config.generator.stem_stride
    frame = MAPS_ALIVE * config.generator.channels[0] * side * side * compute.dtype.itemsize
    if compute.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(compute.device)
        return int(min(max(free // 2 // frame, 1), GPU_BATCH_LIMIT))
    return 1 if frame >= LARGE_FRAME else BATCH
