"""MCNet whole: a keypoint detector and a generator behind three calls."""

from dataclasses import replace
from typing import Self

import torch
from torch import Tensor, nn

from mcnet_cli.model.backdrop import Backdrop
from mcnet_cli.model.config import ModelConfig
from mcnet_cli.model.generator import Generator, Rendering, SourceState
from mcnet_cli.model.geometry import Keypoints
from mcnet_cli.model.keypoints import KeypointDetector
from mcnet_cli.model.palette import Palette
from mcnet_cli.model.tone import Tone


class MCNet(nn.Module):
    """The network of the paper (ICCV 2023), of the architecture that `config` says.

    Pictures are (B, 3, H, W), RGB in [0, 1], H = W = `config.size`. Parameter names are the
    official ones, prefixed by `generator.` and `kp_detector.`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = Generator(config)
        self.kp_detector = KeypointDetector(config.keypoints)

    def channels_last(self) -> Self:
        """Lays the convolutions' weights out as CPUs and GPUs compute them fastest; results stay the same.

        `to(memory_format=...)` can't: it refuses the memory's five-dimensional weights.
        """
        for parameter in self.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        return self

    def detect_keypoints(self, frames: Tensor) -> Keypoints:
        """The keypoints of (B, 3, H, W) frames."""
        keypoints: Keypoints = self.kp_detector(frames)
        return keypoints

    def encode_source(self, image: Tensor, keypoints: Keypoints | None = None) -> SourceState:
        """All that depends on the source (B, 3, H, W) alone; compute it once, render many frames.

        keypoints: the source's, where they are known. In training there is no backdrop, palette or tone.
        """
        found = self.detect_keypoints(image) if keypoints is None else keypoints
        state = SourceState(*self.generator.encode(image), found)
        parts = self.generator.dense_motion_network.parts
        if parts is None or self.training:  # then it is the network that has to know what a head uncovers
            return state
        foreground = self.generator.dense_motion_network.foreground(state.motion_image, found)
        return replace(
            state,
            backdrop=Backdrop.of(foreground, image),
            palette=Palette.of(image, parts.skin(found.values), parts.lips(found.values)),
            tone=Tone.of(state.motion_image),
        )

    def render(self, state: SourceState, motion: Keypoints) -> Tensor:
        """(B, 3, H, W) frames in [0, 1] of the source with its keypoints moved to `motion` (batch B).

        A state of batch 1 serves any B.
        """
        return self(state, motion).prediction  # type: ignore[no-any-return]

    def forward(self, state: SourceState, motion: Keypoints, noise: Tensor | None = None) -> Rendering:
        """Like `render`, with all intermediates that training and tests look at.

        noise: (B, S, M, M) of the memory, one map for each of the S sizes that it serves, coarsest first. The
        paper's training draws it from N(0, 1); without it results repeat.
        """
        rendering: Rendering = self.generator(state.expand(len(motion)), motion, noise)
        return rendering
