"""MCNet whole: a keypoint detector and a generator, put together as a config says."""

from typing import Self

import torch
from torch import Tensor, nn

from mcnet_cli.model.config import PLACING, ModelConfig
from mcnet_cli.model.detail_painter import EyePainter, MouthPainter
from mcnet_cli.model.face_parts import BROW_MIDDLES, FaceParts
from mcnet_cli.model.generator import Generator, Rendering, SourceState
from mcnet_cli.model.geometry import Keypoints
from mcnet_cli.model.landmark_networks import HintedGenerator, LandmarkMotionNetwork
from mcnet_cli.model.motion import DenseMotionNetwork, KeypointDetector


class MCNet(nn.Module):
    """The network of the paper (ICCV 2023), of the architecture that `config` says.

    Pictures are (B, 3, H, W), RGB in [0, 1], H = W = `config.size`. Parameter names are the
    official ones, prefixed by `generator.` and `kp_detector.`.

    parts: where mouth and eyes are among the keypoints, if the config says that; None for the paper's
    network. painter, eye_painter: of the inside of mouths, and of eyes that open, at the portrait's own size,
    if the config has them.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        motion, setting = config.motion, config.generator
        brows = [place for place, point in enumerate(config.keypoints.landmarks) if point in BROW_MIDDLES]
        self.parts = FaceParts(motion.mouth, motion.eyes, brows) if motion.mouth else None
        landmarks_move = any((motion.spline, motion.locality, self.parts))
        dense_motion = (
            LandmarkMotionNetwork(config, self.parts) if landmarks_move else DenseMotionNetwork(config)
        )
        hinted = any((setting.hint_channels, setting.detail_keypoints))
        self.generator = (HintedGenerator if hinted else Generator)(config, dense_motion)
        self.kp_detector = KeypointDetector(config.keypoints)
        self.painter = MouthPainter(config.painter) if config.painter.size else None
        self.eye_painter = EyePainter(config.eye_painter) if config.eye_painter.size else None

    def channels_last(self) -> Self:
        """Lays the convolutions' weights out as CPUs and GPUs compute them fastest; results stay the same.

        `to(memory_format=...)` can't: it refuses the memory's five-dimensional weights.
        """
        for parameter in self.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        return self

    @property
    def placing(self) -> list[int]:
        """The numbers of the keypoints that place a mouth in a face, for the painter."""
        return [self.config.keypoints.landmarks.index(point) for point in PLACING]

    def detect_keypoints(self, frames: Tensor) -> Keypoints:
        """The keypoints of (B, 3, H, W) frames."""
        keypoints: Keypoints = self.kp_detector(frames)
        return keypoints

    def encode_source(self, image: Tensor, keypoints: Keypoints | None = None) -> SourceState:
        """All that depends on the source (B, 3, H, W) alone; compute it once, render many frames.

        keypoints: the source's, where they are known; otherwise they are detected.
        """
        found = self.detect_keypoints(image) if keypoints is None else keypoints
        return SourceState(image, *self.generator.encode(image), found)

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
