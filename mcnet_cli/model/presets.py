"""The architectures that have names: the paper's, and `lite`."""

from mcnet_cli.model.config import (
    GeneratorConfig,
    HourglassConfig,
    KeypointConfig,
    MemoryConfig,
    ModelConfig,
    MotionConfig,
    PainterConfig,
)

# `lite`'s keypoints. Lids, corners of the eyes and lips move little and need sharper heatmaps and masks.
_HEAD = (10, 152, 234, 454, 105, 334, 1)  # forehead, chin, both sides, brows, nose
_FINE = (159, 386, 145, 374, 33, 263, 61, 291, 13, 14, 0, 17)  # lids, eyes' and mouth's corners, lips
_MORE = (50, 280, 172, 397, 149, 378, 468, 469, 470, 471, 472)  # cheeks, jaw, skull
_BODY = (473, 474, 475, 476, 477)  # hair beside the face, neck, shoulders
_LITE_LANDMARKS = (*_HEAD, *_FINE, *_MORE, *_BODY)


def _numbers_of(*landmarks: int) -> tuple[int, ...]:
    """The numbers of `lite`'s keypoints that stand for these landmarks."""
    return tuple(map(_LITE_LANDMARKS.index, landmarks))


PRESETS: dict[str, ModelConfig] = {
    "mcnet": ModelConfig(),
    "lite": ModelConfig(
        keypoints=KeypointConfig(
            count=len(_LITE_LANDMARKS),
            jacobians=False,
            hourglass=HourglassConfig(16, 128, 4),
            kernel=5,
            padded=True,
            landmarks=_LITE_LANDMARKS,
        ),
        motion=MotionConfig(
            HourglassConfig(24, 144, 4),
            kernel=3,
            heatmap_variances=(
                *(0.01,) * len(_HEAD),
                *(0.003,) * len(_FINE),
                *(0.01,) * len(_MORE + _BODY),
            ),
            locality=(
                *(0.12,) * len(_HEAD),
                *(0.07,) * len(_FINE),
                *(0.12,) * len(_MORE),
                *(0.18,) * len(_BODY),
            ),
            spline=True,
            mouth=_numbers_of(61, 291, 13, 14, 0, 17),
            eyes=_numbers_of(159, 145, 33, 386, 374, 263),
            border="border",
            pictures="shared",
        ),
        memory=MemoryConfig(sizes=(32, 64), width=64, style_width=48, bank_size=16, experts=1),
        generator=GeneratorConfig(
            channels=(24, 48, 96),
            stem_stride=2,
            residual_blocks=(1, 1),
            hint_channels=24,
            detail_keypoints=_numbers_of(159, 386, 145, 374, 61, 291, 13, 14, 0, 17),
            cubic=0.5,
            hint_kernel=1,
            final_kernel=3,
        ),
        painter=PainterConfig(size=128, enlarger=24),
        eye_painter=PainterConfig(size=64, channels=(24, 48, 64)),
    ),
}


def described(config: ModelConfig) -> str:
    """The preset's name, or what tells this architecture from others."""
    memory = config.memory
    custom = f"custom (size {config.size}, {memory.experts} memory experts, condition {memory.condition})"
    return next((name for name, preset in PRESETS.items() if config == preset), custom)
