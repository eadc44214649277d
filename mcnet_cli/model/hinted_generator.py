"""A generator whose decoder has more inputs than the features that the paper's decodes; `lite` has one.

1. Dense motion's last features, reduced to a few channels, at their own size.
2. Narrow heatmaps of some driving keypoints (lids and lips), there and at the finest size: where mouths and
   eyes are, more exactly than features of 64² can tell.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcnet_cli.model.blocks import Same
from mcnet_cli.model.generator import Canvas, Generator
from mcnet_cli.model.geometry import Keypoints, gaussian_heatmaps, picked
from mcnet_cli.model.keypoints import MOTION_SIZE
from mcnet_cli.model.motion import MotionField


class HintedGenerator(Generator):
    """The generator with the hints that `config.generator` asks for.

    hint: reduces dense motion's features. join: back to the width without hints.
    """

    hint: nn.Conv2d

    def _join_at(self, level: int, channels: int) -> int:
        setting, size = self.config.generator, self.config.feature_sizes[level]
        width, detail = setting.channels[level], len(setting.detail_keypoints)
        if level and size == MOTION_SIZE and setting.hint_channels:
            self.hint = nn.Conv2d(self.dense_motion_network.hourglass.channels, setting.hint_channels, 1)
            inputs = channels + setting.hint_channels + detail
            self.join[str(size)] = Same(inputs, width, setting.hint_kernel)
            return width
        if not level and detail:
            self.join[str(size)] = Same(channels + detail, width)
        return channels

    def _hint(self, level: int, feature: Tensor, motion: MotionField, driving: Keypoints) -> Tensor | None:
        setting = self.config.generator
        if str(self.config.feature_sizes[level]) not in self.join:
            return None
        shape = (feature.shape[2], feature.shape[3])
        found = []
        if level:
            found.append(self.hint(motion.features))
            if found[0].shape[2:] != shape:  # training works at a smaller size
                found[0] = F.adaptive_avg_pool2d(found[0], shape)
        values = picked(driving.values, setting.detail_keypoints)
        maps = gaussian_heatmaps(values, shape, setting.detail_variance)
        found.append(maps.contiguous(memory_format=torch.channels_last))
        return torch.cat([part.to(found[0].dtype) for part in found], dim=1)

    def _joined(self, y: Tensor, canvas: Canvas, step: int) -> Tensor:
        hint = canvas.hints[step]
        if hint is None:
            return y
        size = self.config.feature_sizes[::-1][step]
        joined: Tensor = self.join[str(size)](torch.cat([y, hint], dim=1))
        return joined
