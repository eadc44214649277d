"""The generator: encode the source once, warp, compensate from memory, decode (sec. 3)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcnet_cli.model.blocks import Down, Res, Same, Up
from mcnet_cli.model.config import ModelConfig
from mcnet_cli.model.geometry import Keypoints, band_limited_downsample, resized, sample_picture, warp
from mcnet_cli.model.memory import MemoryTrace, MemoryUnit
from mcnet_cli.model.motion import MOTION_SIZE, DenseMotionNetwork, MotionField
from mcnet_cli.model.windows import Window

ALL: Window = (slice(None), slice(None))
SIZES_OF_PARTS = 4  # along each side, of pictures that are decoded in part


@dataclass(frozen=True, slots=True)
class SourceState:
    """Everything the network needs of the source alone.

    image: (B, 3, H, W) in [0, 1]. motion_image: (B, 3, 64, 64), the same for dense motion.
    features: the encoder's, (B, C, s, s) each, finest first.
    """

    image: Tensor
    motion_image: Tensor
    features: tuple[Tensor, ...]
    keypoints: Keypoints

    def expand(self, batch: int) -> "SourceState":
        """This source for `batch` frames; no copy is made."""
        if self.image.shape[0] == batch:
            return self

        def widen(x: Tensor) -> Tensor:
            return x.expand(batch, *x.shape[1:])

        return SourceState(
            widen(self.image),
            widen(self.motion_image),
            tuple(map(widen, self.features)),
            self.keypoints.map(widen),
        )


@dataclass(frozen=True, slots=True)
class Canvas:
    """What the decoder paints from: an entry for each size, coarsest first.

    features: warped, and compensated where the memory serves their size.
    hints: what a network tells its decoder beside them (see `hinted_generator`); None where there is nothing.
    occlusion: (B, 1, s, s) at the finest size.
    """

    features: tuple[Tensor, ...]
    hints: tuple[Tensor | None, ...]
    occlusion: Tensor


@dataclass(frozen=True, slots=True)
class Generated:
    """What the network makes of a batch before a picture is warped.

    decoded: (B, 3, H, W) in [0, 1], the decoder's own picture. canvas: what it was decoded from.
    memory: one trace a compensated size, coarsest first; none if the network is `optimised`.
    """

    decoded: Tensor
    motion: MotionField
    canvas: Canvas
    memory: tuple[MemoryTrace, ...]


@dataclass(frozen=True, slots=True)
class Rendering(Generated):
    """A batch of frames and how they came about.

    prediction, deformed: (B, 3, H, W) in [0, 1], the result and the warped source. The occlusion map is the
    share of `deformed` in the result; the rest is `decoded`.
    """

    prediction: Tensor
    deformed: Tensor


class Generator(nn.Module):
    """MCNet's generator; `config` says its widths and sizes, `dense_motion` moves what it encodes.

    Subclasses may join more to the decoder's input: they override `_join_at`, `_hint` and `_joined`.
    """

    def __init__(self, config: ModelConfig, dense_motion: DenseMotionNetwork) -> None:
        super().__init__()
        self.config = config
        sizes, widths, setting = config.feature_sizes, config.generator.channels, config.generator
        levels = range(len(widths) - 1)
        self.dense_motion_network = dense_motion
        self.first = Same(3, widths[0], 7)
        self.down_blocks = nn.ModuleList(Down(widths[i], widths[i + 1]) for i in levels)
        channels = {size: widths[sizes.index(size)] for size in sorted(config.memory.sizes)}
        self.mbUnit = MemoryUnit(config.memory, channels, config.keypoints.count)
        self.resblock = nn.ModuleList()
        self.up_blocks = nn.ModuleList()
        self.join = nn.ModuleDict()  # by nominal size, layers that take in hints; none in the paper's network
        for level, blocks in zip(reversed(levels), setting.residual_blocks, strict=True):
            inputs = widths[level + 1] * (1 if level + 2 == len(widths) else 2)
            inputs = self._join_at(level + 1, inputs)
            self.resblock.extend(Res(inputs) for _ in range(blocks))
            self.up_blocks.append(Up(inputs, widths[level]))
        self._join_at(0, widths[0])
        kernel = setting.final_kernel
        self.final = nn.Conv2d(widths[0], 3 * setting.stem_stride**2, kernel, padding=kernel // 2)

    def encode(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The source's picture for dense motion, and its features at all sizes, finest first."""
        small = band_limited_downsample(image, image.shape[-1] // MOTION_SIZE)
        stem = F.avg_pool2d(image, 2) if self.config.generator.stem_stride == 2 else image
        features = [self.first(stem)]
        for block in self.down_blocks:
            features.append(block(features[-1]))
        return small, tuple(features)

    def forward(self, source: SourceState, driving: Keypoints, noise: Tensor | None = None) -> Rendering:
        """The paper's result: decoded · (1 - occlusion) + warped source · occlusion.

        source, driving: of batch B. noise: the memory's, (B, S, M, M).
        """
        made = self.generate(source, driving, noise)
        size = (source.image.shape[2], source.image.shape[3])
        deformation = self.dense_motion_network.refined_deformation(
            made.motion.deformation, source.keypoints, driving, size
        )
        setting, border = self.config.generator, self.config.motion.border
        deformed = warp(source.image, deformation, border, setting.cubic)
        trust = occlusion_at_size_of(deformed, made.motion)
        prediction = made.decoded * (1 - trust) + deformed * trust
        return Rendering(made.decoded, made.motion, made.canvas, made.memory, prediction, deformed)

    def generate(self, source: SourceState, driving: Keypoints, noise: Tensor | None = None) -> Generated:
        """All but the warped picture; arguments as for `forward`."""
        motion: MotionField = self.dense_motion_network(source.motion_image, source.keypoints, driving)
        return self.painted(source, driving, motion, noise)

    def painted(
        self, source: SourceState, driving: Keypoints, motion: MotionField, noise: Tensor | None = None
    ) -> Generated:
        """What the decoder makes of a motion that is known; other arguments as for `forward`."""
        canvas, traces = self._canvas(source, driving, motion, noise)
        return Generated(self.decode(canvas), motion, canvas, tuple(traces))

    def painted_part(
        self, source: SourceState, driving: Keypoints, motion: MotionField, window: Window
    ) -> Tensor:
        """(B, 3, h, w) in [0, 1]: `painted` in a window of the picture alone, which is faster."""
        size, count = source.image.shape[2], source.features[-1].shape[2]
        pixels = size // count  # a cell of the coarsest size
        ends = [line.indices(size)[:2] for line in window]
        rows, columns = (
            _lengthened(first // pixels - self._reach, -(-last // pixels) + self._reach, count)
            for first, last in ends
        )
        canvas, _ = self._canvas(source, driving, motion, cells=(rows, columns))
        decoded = self.decode(canvas)
        (top, bottom), (left, right) = ends
        down, across = pixels * rows.start, pixels * columns.start
        return decoded[:, :, top - down : bottom - down, left - across : right - across]

    @property
    def _reach(self) -> int:
        """How many cells of the coarsest size around its own a pixel of the decoder's picture depends on."""
        setting = self.config.generator
        reach = setting.final_kernel // 2 + 1
        for blocks in reversed(setting.residual_blocks):
            # a doubling and its convolution; then two convolutions a block
            reach = (reach + 2) // 2 + 2 * blocks + setting.hint_kernel // 2
        return reach

    def _canvas(
        self,
        source: SourceState,
        driving: Keypoints,
        motion: MotionField,
        noise: Tensor | None = None,
        cells: Window | None = None,
    ) -> tuple[Canvas, list[MemoryTrace]]:
        """What the decoder paints from, and how the memory compensated that.

        cells: those of the coarsest size that are wanted, if not all.
        """
        sizes, border = self.config.feature_sizes, self.config.motion.border
        served = [size for size in reversed(sizes) if size in self.config.memory.sizes]
        features: list[Tensor] = []
        hints: list[Tensor | None] = []
        traces: list[MemoryTrace] = []
        for level, size in reversed([*enumerate(sizes)]):
            full = source.features[level]
            part = _part(cells, full.shape[2] // source.features[-1].shape[2])
            rows, columns = ALL if size in served else part  # the memory looks at all of a feature
            grid = resized(motion.deformation, (full.shape[2], full.shape[3]))
            feature = sample_picture(full, grid[:, rows, columns], border)
            feature = feature * occlusion_at_size_of(full, motion)[..., rows, columns]
            if size in served:
                grain = None if noise is None else noise[:, served.index(size), None]
                made: MemoryTrace | Tensor = self.mbUnit(feature, size, source.keypoints.values, grain)
                if isinstance(made, MemoryTrace):  # an optimised network keeps no traces
                    traces.append(made)
                    made = made.after
                feature = made[..., *part]
            hint = self._hint(level, full, motion, driving)
            hints.append(None if hint is None else hint[..., *part].to(feature.dtype))
            features.append(feature)
        occlusion = occlusion_at_size_of(source.features[0], motion)[..., *part].to(feature.dtype)
        return Canvas(tuple(features), tuple(hints), occlusion), traces

    def decode(self, canvas: Canvas) -> Tensor:
        """The decoder's own picture, (B, 3, H, W) in [0, 1]; of a part of the canvas that part."""
        setting = self.config.generator
        y, used = canvas.features[0], 0
        for step, blocks in enumerate(setting.residual_blocks):
            if step:
                y = torch.cat([y, canvas.features[step]], dim=1)
            y = self._joined(y, canvas, step)
            for block in self.resblock[used : used + blocks]:
                y = block(y)
            used += blocks
            y = self.up_blocks[step](y)
        y = y * (1 - canvas.occlusion) + canvas.features[-1]
        decoded = self.final(self._joined(y, canvas, len(canvas.features) - 1))
        if setting.stem_stride == 2:
            decoded = F.pixel_shuffle(decoded, 2)
        return torch.sigmoid(decoded.float())

    def _join_at(self, level: int, channels: int) -> int:
        """Makes the layers that join more to the decoder's input at a level.

        channels: of that input, coarser levels' output included. Returns how many go on to the blocks.
        """
        return channels

    def _hint(self, level: int, feature: Tensor, motion: MotionField, driving: Keypoints) -> Tensor | None:
        """(B, C, H, W): what is joined to the decoder's input beside a level's feature of that size."""
        return None

    def _joined(self, y: Tensor, canvas: Canvas, step: int) -> Tensor:
        """The decoder's features `y` before a step, 0 the coarsest, with what a subclass joins to them."""
        return y


def _part(cells: Window | None, factor: int) -> Window:
    """The cells of a finer size, so many times as many along each side, that cover those of the coarsest."""
    if cells is None:
        return ALL
    rows, columns = (slice(line.start * factor, line.stop * factor) for line in cells)
    return rows, columns


def _lengthened(first: int, last: int, count: int) -> slice:
    """Cells from `first` to `last` of `count`, and some more, so that there are few different lengths.

    For each new size convolutions are compiled, which takes longer than what they compute.
    """
    step = max(count // SIZES_OF_PARTS, 1)
    length = min(-(-(min(last, count) - max(first, 0)) // step) * step, count)
    start = min(max(first, 0), count - length)
    return slice(start, start + length)


def occlusion_at_size_of(maps: Tensor, motion: MotionField) -> Tensor:
    """The motion's occlusion map, (B, 1, H, W), at the size and in the precision of (B, C, H, W) maps."""
    resized = F.interpolate(motion.occlusion, maps.shape[2:], mode="bilinear", align_corners=True)
    return resized.to(maps.dtype)
