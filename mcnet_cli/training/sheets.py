"""Sheets to be looked at: what the network makes of a few pairs, and of a few clips over time."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mcnet_cli.media import write_image
from mcnet_cli.model import Keypoints
from mcnet_cli.model.geometry import grid_sample
from mcnet_cli.training.augment import augment
from mcnet_cli.training.config import AugmentConfig
from mcnet_cli.training.dataset import Clip
from mcnet_cli.training.frames import Array
from mcnet_cli.training.learner import Learner
from mcnet_cli.training.sampling import PairSampler

PAIRS, CLIPS, MOMENTS = 6, 6, 6
STILL = AugmentConfig(**dict.fromkeys(AugmentConfig.__slots__, 0.0))


def write_sheet(path: Path, learner: Learner, sampler: PairSampler) -> None:
    """One row a pair, six of them.

    Source and driving with their keypoints, result, decoder's picture, warped source, occlusion, and the
    deformation as what it does to a grid.
    """
    pairs = [pair for number in range(PAIRS) if (pair := sampler.draw(number).pair) is not None]
    if not pairs:
        return
    device, size = learner.compute.device, learner.config.model.size
    batch = augment(pairs, size, STILL, 0, device)
    made = learner.render(batch.source, batch.driving)
    with torch.inference_mode(), learner.autocast():
        found = [learner.ema.detect_keypoints(frames) for frames in (batch.source, batch.driving)]
    squares = _squares(size).to(device).expand(len(pairs), -1, -1, -1)
    grid = F.interpolate(made.motion.deformation.float().permute(0, 3, 1, 2), (size, size), mode="bilinear")
    columns = [
        _dotted(_levels(batch.source), found[0]),
        _dotted(_levels(batch.driving), found[1]),
        *map(_levels, (made.frames, made.painted, made.warped)),
        _levels(F.interpolate(made.motion.occlusion.float(), (size, size)).expand(-1, 3, -1, -1)),
        _levels(grid_sample(squares, grid.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)),
    ]
    _write(path, np.concatenate([column.reshape(-1, *column.shape[2:]) for column in columns], axis=1))


def write_contact_sheet(path: Path, learner: Learner, clips: Sequence[Clip]) -> None:
    """Six clips, two rows each: six of its frames, and the same made from the first of them."""
    rows = []
    for clip in [
        clips[i] for i in np.linspace(0, len(clips) - 1, min(CLIPS, len(clips))).round().astype(int)
    ]:
        moments = np.linspace(0, len(clip.frames) - 1, MOMENTS).round().astype(int)
        frames = np.stack([np.asarray(clip.frames[int(number)]) for number in moments])
        made = learner.render(*animated(frames, learner.compute.device)).frames
        rows += [np.concatenate([*frames], axis=1), np.concatenate([*_levels(made)], axis=1)]
    _write(path, np.concatenate(rows))


def animated(frames: Array, device: torch.device) -> tuple[Tensor, Tensor]:
    """(T, S, S, 3) uint8 as `Learner.render` takes them: the first frame as the source, all as driving."""
    pictures = torch.from_numpy(frames).to(device).permute(0, 3, 1, 2).float() / 255
    return pictures[:1].expand_as(pictures), pictures


def _write(path: Path, sheet: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, sheet, overwrite=True)


def _levels(pictures: Tensor) -> Array:
    """(B, 3, H, W) in [0, 1] to (B, H, W, 3) uint8."""
    return (pictures.float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def _dotted(pictures: Array, keypoints: Keypoints) -> Array:
    """Pictures with a dot at each keypoint, its colour by its number."""
    size, radius = pictures.shape[1], max(1, pictures.shape[1] // 100)
    places = ((keypoints.values.float().cpu().numpy() + 1) * (size - 1) / 2).round().astype(int)
    hues = np.linspace(0, 150, places.shape[1]).astype(np.uint8)
    colours = cv2.cvtColor(
        np.stack([hues, np.full_like(hues, 255), np.full_like(hues, 255)], -1)[None], cv2.COLOR_HSV2RGB
    )
    dotted = np.ascontiguousarray(pictures)
    for picture, points in zip(dotted, places.tolist(), strict=True):
        for point, colour in zip(points, colours[0].tolist(), strict=True):
            cv2.circle(picture, point, radius, colour, -1, cv2.LINE_AA)
    return dotted


def _squares(size: int) -> Tensor:
    """(1, 3, S, S): a chessboard of 16 squares a side, tinted by place."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    dark = ((x * 16 // size + y * 16 // size) % 2).float()
    return torch.stack([x / size, y / size, torch.full_like(dark, 0.5)])[None] * (0.4 + 0.6 * dark)
