"""The generator: encode the source once, warp, compensate from memory, decode (sec. 3)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcnet_cli.model.backdrop import Backdrop
from mcnet_cli.model.blocks import Down, Res, Same, Up
from mcnet_cli.model.config import ModelConfig
from mcnet_cli.model.geometry import Keypoints, band_limited_downsample, gaussian_heatmaps, warp
from mcnet_cli.model.keypoints import MOTION_SIZE
from mcnet_cli.model.memory import MemoryTrace, MemoryUnit
from mcnet_cli.model.motion import DenseMotionNetwork, MotionField
from mcnet_cli.model.palette import Palette
from mcnet_cli.model.tone import Tone


@dataclass(frozen=True, slots=True)
class SourceState:
    """Everything that depends on the source alone.

    image: (B, 3, H, W), and beyond it `margin` more pixels on each side, for what a motion brings into view.
    motion_image: (B, 3, 64, 64). features: the encoder's, finest first.
    backdrop: shown where the head uncovers it; None for leaving that to the network, as training does.
    palette, tone: whose colours the decoder takes between lips, and in photos of one hue everywhere.
    """

    image: Tensor
    motion_image: Tensor
    features: tuple[Tensor, ...]
    keypoints: Keypoints
    margin: int = 0
    backdrop: Backdrop | None = None
    palette: Palette | None = None
    tone: Tone | None = None

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
            self.margin,
            None if self.backdrop is None else self.backdrop.expand(batch),
            None if self.palette is None else self.palette.expand(batch),
            None if self.tone is None else self.tone.expand(batch),
        )


@dataclass(frozen=True, slots=True)
class Canvas:
    """What the decoder paints from: of each size, coarsest first.

    features: warped, compensated where the memory serves their size. hints: what else is told, or None.
    occlusion: (B, 1, s, s) at the finest size.
    """

    features: tuple[Tensor, ...]
    hints: tuple[Tensor | None, ...]
    occlusion: Tensor


@dataclass(frozen=True, slots=True)
class Rendering:
    """A batch of frames and how they came about.

    prediction, decoded, deformed: (B, 3, H, W) in [0, 1]; the result, the decoder's own picture, and the
    source warped as geometry mends the motion, of which `trust` (B, 1, H, W) is shown; the result has the
    backdrop behind them, and the decoder's picture the palette and tone. canvas: what was decoded.
    memory: one trace a compensated size, coarsest first.
    """

    prediction: Tensor
    decoded: Tensor
    deformed: Tensor
    trust: Tensor
    motion: MotionField
    canvas: Canvas
    memory: tuple[MemoryTrace, ...]


class Generator(nn.Module):
    """MCNet's generator; `config` says the widths, sizes and whether there are hints."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        sizes, widths, setting = config.feature_sizes, config.generator.channels, config.generator
        levels = range(len(widths) - 1)
        self.dense_motion_network = DenseMotionNetwork(config)
        self.first = Same(3, widths[0], 7)
        self.down_blocks = nn.ModuleList(Down(widths[i], widths[i + 1]) for i in levels)
        channels = {size: widths[sizes.index(size)] for size in sorted(config.memory.sizes)}
        self.mbUnit = MemoryUnit(config.memory, channels, config.keypoints.count)
        detail = len(setting.detail_keypoints)
        self.resblock = nn.ModuleList()
        self.up_blocks = nn.ModuleList()
        self.join = nn.ModuleDict()  # at the sizes where hints are added: back to the width without them
        for level, blocks in zip(reversed(levels), setting.residual_blocks, strict=True):
            size = sizes[level + 1]
            inputs = widths[level + 1] * (1 if level + 2 == len(widths) else 2)
            if size == MOTION_SIZE and setting.hint_channels:
                self.hint = nn.Conv2d(self.dense_motion_network.hourglass.channels, setting.hint_channels, 1)
                self.join[str(size)] = Same(inputs + setting.hint_channels + detail, widths[level + 1])
                inputs = widths[level + 1]
            self.resblock.extend(Res(inputs) for _ in range(blocks))
            self.up_blocks.append(Up(inputs, widths[level]))
        if detail:
            self.join[str(sizes[0])] = Same(widths[0] + detail, widths[0])
        self.final = nn.Conv2d(widths[0], 3 * setting.stem_stride**2, 7, padding=3)

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """The source's picture for dense motion, and features at all sizes, finest first."""
        small = band_limited_downsample(image, image.shape[-1] // MOTION_SIZE)
        stem = F.avg_pool2d(image, 2) if self.config.generator.stem_stride == 2 else image
        features = [self.first(stem)]
        for block in self.down_blocks:
            features.append(block(features[-1]))
        return image, small, tuple(features)

    def forward(self, source: SourceState, driving: Keypoints, noise: Tensor | None = None) -> Rendering:
        """source and driving keypoints, both of batch B; noise: the memory's, (B, S, M, M)."""
        setting, sizes, border = self.config.generator, self.config.feature_sizes, self.config.motion.border
        motion: MotionField = self.dense_motion_network(source.motion_image, source.keypoints, driving)
        traces: list[MemoryTrace] = []

        def occlusion(like: Tensor) -> Tensor:
            resized = F.interpolate(motion.occlusion, like.shape[2:], mode="bilinear", align_corners=True)
            return resized.to(like.dtype)

        def carried(level: int) -> Tensor:
            """The level's source feature: warped, occluded, where the memory serves its size compensated."""
            feature = warp(source.features[level], motion.deformation, border)
            feature = feature * occlusion(feature)
            if sizes[level] not in self.config.memory.sizes:
                return feature
            grain = None if noise is None else noise[:, len(traces), None]
            traces.append(self.mbUnit(feature, sizes[level], source.keypoints.values, grain))
            return traces[-1].after

        levels = range(len(sizes) - 1, -1, -1)
        features = tuple(carried(level) for level in levels)
        hints = tuple(
            self._hint(level, feature, motion, driving)
            for level, feature in zip(levels, features, strict=True)
        )
        canvas = Canvas(features, hints, occlusion(features[-1]))
        decoded = self._coloured(self.decode(canvas), source, driving)
        deformation, parts = motion.deformation, self.dense_motion_network.parts
        backdrop, uncovered = source.backdrop, None
        if backdrop is not None and motion.person is not None:
            # of pictures alone: features stay as the decoder learned them
            deformation, uncovered = backdrop.parted(deformation, motion.person)
        side = (decoded.shape[2], decoded.shape[3])
        if parts is not None:
            deformation = parts.corrected(deformation, source.keypoints.values, driving.values, side)
        deformed = warp(source.image, deformation, border, setting.cubic, source.margin)
        trust = occlusion(deformed)
        prediction = decoded * (1 - trust) + deformed * trust
        if backdrop is not None and uncovered is not None:
            prediction = backdrop.behind(prediction, uncovered)
        return Rendering(prediction, decoded, deformed, trust, motion, canvas, tuple(traces))

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
        decoded = self.final(self._joined(y, canvas, -1))
        if setting.stem_stride == 2:
            decoded = F.pixel_shuffle(decoded, 2)
        return torch.sigmoid(decoded.float())

    def _coloured(self, decoded: Tensor, source: SourceState, driving: Keypoints) -> Tensor:
        """The decoder's picture in the source's colours, where they tell more than what training has seen."""
        parts, palette = self.dense_motion_network.parts, source.palette
        if parts is not None and palette is not None:
            window, inside = parts.between_lips(driving.values, (decoded.shape[2], decoded.shape[3]))
            painted, decoded = decoded, decoded.clone()
            decoded[:, :, *window] = palette.between_lips(painted[:, :, *window], inside)
        return decoded if source.tone is None else source.tone(decoded)

    def _hint(self, level: int, like: Tensor, motion: MotionField, driving: Keypoints) -> Tensor | None:
        """What is told of the motion beside the features of a level; None for nothing."""
        setting = self.config.generator
        if str(self.config.feature_sizes[level]) not in self.join:
            return None
        shape = (like.shape[2], like.shape[3])
        told = []
        if level:
            told.append(self.hint(motion.features))
            if told[0].shape[2:] != shape:  # training works at a smaller size
                told[0] = F.adaptive_avg_pool2d(told[0], shape)
        values = driving.values[:, list(setting.detail_keypoints)]
        maps = gaussian_heatmaps(values, shape, setting.detail_variance)
        told.append(maps.contiguous(memory_format=torch.channels_last))
        return torch.cat([part.to(like.dtype) for part in told], dim=1)

    def _joined(self, y: Tensor, canvas: Canvas, step: int) -> Tensor:
        """y with the hint of its size, if there is one."""
        hint = canvas.hints[step]
        if hint is None:
            return y
        size = self.config.feature_sizes[::-1][step]
        joined: Tensor = self.join[str(size)](torch.cat([y, hint], dim=1))
        return joined
