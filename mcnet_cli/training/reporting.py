"""What a run shows of itself: its log, sheets of sample pictures, and errors on held-out clips."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mcnet_cli.face.topology import MOUTH_BOX
from mcnet_cli.files import atomic_output
from mcnet_cli.media import write_image
from mcnet_cli.model import Keypoints
from mcnet_cli.model.geometry import grid_sample
from mcnet_cli.training.augment import augment
from mcnet_cli.training.config import AugmentConfig
from mcnet_cli.training.dataset import Clip
from mcnet_cli.training.frames import Array, as_tensor
from mcnet_cli.training.learner import Learner
from mcnet_cli.training.sampling import PairSampler

# Pairs on a sample sheet; clips on a contact sheet, and frames of each of them.
SHEET_PAIRS, SHEET_CLIPS, SHEET_FRAMES = 6, 6, 6
STILL = AugmentConfig(**dict.fromkeys(AugmentConfig.__slots__, 0.0))  # leaves pairs as they are
# Validation looks at frames 0, 5, 10, … 145 of each clip.
VALIDATION_EVERY, VALIDATION_END = 5, 150
VALIDATION_BATCH = 8
MOUTH_MARGIN_PX = 16  # around the mouth's box, in pictures of 256²


class RunLog:
    """`log.jsonl`, one object a line, and TensorBoard's files if it is installed.

    writes: whether this process is the one that does; the others only gather means.
    """

    def __init__(self, run: Path, *, writes: bool = True) -> None:
        self.path, self.writes = run / "log.jsonl", writes
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._board: Any = None
        if writes and importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(run / "tensorboard"))

    def forget_after(self, step: int) -> None:
        """Removes rows of later steps: a run that goes on from a checkpoint repeats them."""
        if not (self.writes and self.path.is_file()):
            return
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        kept = [line for line in lines if _step(line) <= step]
        if kept != lines:
            with atomic_output(self.path, overwrite=True) as part:
                part.write_text("".join(kept), encoding="utf-8")

    def gather(self, terms: dict[str, float]) -> None:
        """Adds a step's loss terms to the means of the next row."""
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def mean(self, name: str) -> float:
        """The mean of a term since the last row; NaN if there is none yet."""
        return self._sums[name] / self._counts[name] if name in self._sums else float("nan")

    def means(self) -> dict[str, float]:
        """The means of all terms since the last row, which ends it."""
        found = {name: round(total / self._counts[name], 5) for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return found

    def write(self, row: dict[str, Any]) -> None:
        """Appends a row, which has at least `step`."""
        if not self.writes:
            return
        with open(self.path, "a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        if self._board is not None:
            for name, value in row.items():
                if name != "step" and isinstance(value, int | float):
                    self._board.add_scalar(name, value, row["step"])

    def close(self) -> None:
        """Ends TensorBoard's file."""
        if self._board is not None:
            self._board.close()


def _step(line: str) -> float:
    """The step of a row of the log; infinite for what is no row, such as the half line of a killed run."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def write_sheet(path: Path, learner: Learner, sampler: PairSampler) -> None:
    """Writes a sheet of six pairs, one a row.

    Columns: source and driving with their keypoints, the result, the decoder's picture, the warped source,
    the occlusion, and a chessboard under the deformation.
    """
    pairs = [pair for number in range(SHEET_PAIRS) if (pair := sampler.draw(number).pair) is not None]
    if not pairs:
        return
    device, size = learner.compute.device, learner.config.model.size
    batch = augment(pairs, size, STILL, 0, device)
    made = learner.render(batch.source, batch.driving)
    with torch.inference_mode(), learner.compute.autocast():
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
        clips[i] for i in np.linspace(0, len(clips) - 1, min(SHEET_CLIPS, len(clips))).round().astype(int)
    ]:
        numbers = np.linspace(0, len(clip.frames) - 1, SHEET_FRAMES).round().astype(int)
        frames = np.stack([np.asarray(clip.frames[int(number)]) for number in numbers])
        made = learner.render(*_as_driving(frames, learner.compute.device)).frames
        rows += [np.concatenate([*frames], axis=1), np.concatenate([*_levels(made)], axis=1)]
    _write(path, np.concatenate(rows))


def _as_driving(frames: Array, device: torch.device) -> tuple[Tensor, Tensor]:
    """(T, S, S, 3) uint8 as `Learner.render` takes them: the first frame as the source, all as driving."""
    pictures = as_tensor(frames, device)
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


def validation_figures(learner: Learner, clips: Sequence[Clip]) -> dict[str, float]:
    """Animates clips from their first frames, with absolute motion, and compares with what they really show.

    error_over_copy: mean |result - real| over mean |first frame - real|, so 1 is as bad as standing still.
    mouth_over_copy: the same in the box of the mouth, where clips have landmarks.
    """
    whole, mouth = np.zeros(2), np.zeros(2)
    for clip in clips:
        numbers = range(0, min(len(clip.frames), VALIDATION_END), VALIDATION_EVERY)
        frames = np.stack([np.asarray(clip.frames[number]) for number in numbers])
        errors = _errors(learner, frames)
        whole += errors.mean((1, 2, 3))
        if clip.points is not None:
            mouth += _in_mouths(errors, clip.points[numbers], frames.shape[1])
    figures = {"error_over_copy": whole[0] / max(whole[1], 1e-9)}
    if mouth[1]:
        figures["mouth_over_copy"] = mouth[0] / mouth[1]
    return {name: round(float(value), 5) for name, value in figures.items()}


def _errors(learner: Learner, frames: Array) -> Array:
    """(2, T, S, S) mean absolute errors over colours: of the results, and of the first frame for all."""
    made = []
    for start in range(0, len(frames), VALIDATION_BATCH):
        source, driving = _as_driving(
            np.concatenate([frames[:1], frames[start : start + VALIDATION_BATCH]]), learner.compute.device
        )
        made.append(learner.render(source[1:], driving[1:]).frames.float().cpu())
    real = as_tensor(frames, torch.device("cpu"))
    errors = torch.stack([(torch.cat(made) - real).abs().mean(1), (real[:1] - real).abs().mean(1)])
    return errors.numpy()


def _in_mouths(errors: Array, points: Array, size: int) -> Array:
    """(2,) errors in the boxes of (T, 468, 2) landmarks' mouths, averaged over frames."""
    margin = MOUTH_MARGIN_PX * size / 256
    found = []
    for number, mouth in enumerate(points[:, list(MOUTH_BOX)]):
        x0, y0 = np.clip(mouth.min(0) - margin, 0, size - 1).astype(int)
        x1, y1 = np.clip(mouth.max(0) + margin, 1, size).astype(int)
        found.append(errors[:, number, y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)].mean((1, 2)))
    return np.asarray(np.mean(found, axis=0))
