"""How well clips that training doesn't see are made again from their first frames."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from mcnet_cli.compositing import Composition
from mcnet_cli.face.topology import MOUTH_BOX
from mcnet_cli.training.dataset import Clip
from mcnet_cli.training.frames import Array
from mcnet_cli.training.sheets import animated

EVERY, LAST = 5, 150  # frames 0, 5, 10, … 145
MARGIN_PX = 16  # at 256²


def validation_figures(
    render: Callable[[Tensor, Tensor], Composition], clips: Sequence[Clip], device: torch.device
) -> dict[str, float]:
    """Errors of `clips` made from their first frames, absolute motion, over those of standing still.

    error_over_copy: mean |result - real| over mean |first frame - real|. mouth_over_copy: the same in the box
    of the mouth, where clips have landmarks.
    """
    whole, mouth = np.zeros(2), np.zeros(2)
    for clip in clips:
        numbers = range(0, min(len(clip.frames), LAST), EVERY)
        frames = np.stack([np.asarray(clip.frames[number]) for number in numbers])
        errors = _errors(render, frames, device)
        whole += errors.mean((1, 2, 3))
        if clip.points is not None:
            mouth += _in_mouths(errors, clip.points[numbers], frames.shape[1])
    figures = {"error_over_copy": whole[0] / max(whole[1], 1e-9)}
    if mouth[1]:
        figures["mouth_over_copy"] = mouth[0] / mouth[1]
    return {name: round(float(value), 5) for name, value in figures.items()}


def _errors(render: Callable[[Tensor, Tensor], Composition], frames: Array, device: torch.device) -> Array:
    """(2, T, S, S) mean absolute errors over colours: of the results, and of the first frame for all."""
    made = []
    for start in range(0, len(frames), 8):
        source, driving = animated(np.concatenate([frames[:1], frames[start : start + 8]]), device)
        made.append(render(source[1:], driving[1:]).frames.float().cpu())
    real = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    errors = torch.stack([(torch.cat(made) - real).abs().mean(1), (real[:1] - real).abs().mean(1)])
    return errors.numpy()


def _in_mouths(errors: Array, points: Array, size: int) -> Array:
    """(2,) errors in the boxes of (T, 468, 2) landmarks' mouths, averaged over frames."""
    margin = MARGIN_PX * size / 256
    found = []
    for number, mouth in enumerate(points[:, list(MOUTH_BOX)]):
        x0, y0 = np.clip(mouth.min(0) - margin, 0, size - 1).astype(int)
        x1, y1 = np.clip(mouth.max(0) + margin, 1, size).astype(int)
        found.append(errors[:, number, y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)].mean((1, 2)))
    return np.asarray(np.mean(found, axis=0))
