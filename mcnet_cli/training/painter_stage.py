"""The stages in which the detail painters learn to paint the inside of mouths, and eyes that open.

What a shut mouth hides can't be known, so a discriminator judges what is painted, in a real frame in which
the painter's work replaces that inside alone. The rest of the network stays as it is.
"""

import copy
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcnet_cli.devices import Compute
from mcnet_cli.errors import InputError, UsageError, shown
from mcnet_cli.metrics import PerceptualDistance
from mcnet_cli.model import MCNet
from mcnet_cli.model.detail_painter import DetailPainter, Painted, limit
from mcnet_cli.model.detail_shape import Shape
from mcnet_cli.progress import OnProgress, Progress
from mcnet_cli.training.augment import ColourChange
from mcnet_cli.training.checkpoints import (
    Checkpoint,
    load_latest,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)
from mcnet_cli.training.config import RunConfig
from mcnet_cli.training.dataset import Clip
from mcnet_cli.training.details import PARTS, Details, Part, gather
from mcnet_cli.training.discriminator import InsideDiscriminator, Insides
from mcnet_cli.training.objective_config import PainterTraining
from mcnet_cli.training.sampling import rng_of

logger = logging.getLogger(__name__)

# Longest gradient of the painter and of the discriminator.
MAX_GRAD_NORM = 10.0
# Every how many steps the R1 penalty and the perceptual loss are computed, so many times as heavy: they are
# slow.
R1_EVERY, PERCEPTUAL_EVERY = 4, 2
# Steps over which figures are averaged.
FIGURES_OVER = 50
# Share of paint alone in the loss of pixels, beside that of the result.
PAINT_SHARE = 0.5
# Standard deviations of the blur that makes pairs softer, in pixels.
BLUR_PX = 0.3, 1.7


def learn_details(
    model: MCNet,
    clips: Sequence[Clip],
    config: RunConfig,
    compute: Compute,
    perceptual: PerceptualDistance | None,
    folder: Path,
    on_progress: OnProgress,
) -> dict[str, float]:
    """Trains the painters of `model` in place; goes on with what `folder` holds of that. Mean losses.

    Depends on `model`, the clips and the configuration alone, however often it is interrupted.
    """
    found: dict[str, float] = {}
    for part in PARTS:
        painter: DetailPainter | None = getattr(model, part.painter)
        if painter is None or config.painter.part not in ("all", part.name):
            continue
        kept = folder / f"{part.name}.safetensors"
        if not kept.is_file():
            gather(part, model, clips, config, compute, on_progress).save(kept)
        details, stage = Details.load(kept), PainterStage(part, painter, config, compute, perceptual, folder)
        stage.resume()
        losses = stage.learn(details, on_progress)
        painter.load_state_dict(stage.average.state_dict())
        found |= {part.name: float(len(details))} | {f"{part.name}_{k}": v for k, v in losses.items()}
    return found


@dataclass(frozen=True, slots=True)
class Scene:
    """A batch of moved mouths or eyes as the painter sees them.

    warped, real: (B, 3, S, S) in [0, 1]. shape: the drivings'. inside: (B, 1, S, S), what may be painted.
    sources, source_shape: the sources' own.
    """

    warped: Tensor
    real: Tensor
    shape: Shape
    inside: Tensor
    sources: Tensor
    source_shape: Shape

    def painted(self, painter: DetailPainter) -> tuple[Tensor, Painted]:
        """The squares with what `painter` paints in them, and the paint."""
        paint = painter(self.warped, self.shape, painter.encode(self.sources, self.source_shape))
        return torch.lerp(self.warped, paint.colours, self.inside * paint.share), paint


def scene(part: Part, details: Details, chosen: Tensor, device: torch.device) -> Scene:
    """The chosen pairs, as they are."""
    of = details.of[chosen]
    warped, real, sources = (
        pictures.to(device).float() / 255
        for pictures in (details.warped[chosen], details.real[chosen], details.sources[of])
    )
    shape = part.shape(details.points[chosen].to(device), details.arcs[chosen].to(device))
    own = part.shape(details.source_points[of].to(device), details.source_arcs[of].to(device))
    inside, _ = shape.distances(warped.shape[-1], step=2)
    return Scene(warped, real, shape, limit(inside), sources, own)


def varied(scene: Scene, setting: PainterTraining, rng: np.random.Generator) -> Scene:
    """The same mirrored, in other colours and softer, as chance will have it."""
    batch = len(scene.warped)
    colour = ColourChange.draw(batch, setting.colour, setting.faded, rng)
    flipped = torch.from_numpy(rng.random(batch) < 0.5).to(scene.warped.device)
    sigma = rng.uniform(*BLUR_PX, batch) * (rng.random(batch) < setting.blurred)
    pictures = [
        _softened(_mirrored(colour(each), flipped), sigma)
        for each in (scene.warped, scene.real, scene.sources)
    ]
    shapes = [_mirrored_shape(shape, flipped) for shape in (scene.shape, scene.source_shape)]
    inside = _mirrored(scene.inside, flipped)
    return Scene(pictures[0], pictures[1], shapes[0], inside, pictures[2], shapes[1])


def _mirrored(pictures: Tensor, flipped: Tensor) -> Tensor:
    return torch.where(flipped[:, None, None, None], pictures.flip(3), pictures)


def _mirrored_shape(shape: Shape, flipped: Tensor) -> Shape:
    other = shape.mirrored()
    points = torch.where(flipped[:, None, None], other.points, shape.points)
    return shape.like(points, torch.where(flipped[:, None, None, None], other.arcs, shape.arcs))


def _softened(pictures: Tensor, sigma: np.ndarray) -> Tensor:
    """Gaussian blur of each picture by its own sigma in pixels; those with 0 stay."""
    reach = math.ceil(3 * BLUR_PX[1])
    offsets = torch.arange(-reach, reach + 1, device=pictures.device)
    widths = torch.from_numpy(sigma).to(pictures).clamp_min(1e-3)
    line = torch.exp(-offsets.square() / (2 * widths[:, None].square()))
    line = (line / line.sum(1, keepdim=True)).repeat_interleave(3, 0)
    flat = F.pad(pictures, (reach,) * 4, mode="replicate").flatten(0, 1)[None]
    flat = F.conv2d(flat, line[:, None, None, :], groups=len(line))
    flat = F.conv2d(flat, line[:, None, :, None], groups=len(line))
    return flat.reshape(pictures.shape)


class PainterStage:
    """A painter's training in progress: a copy that learns, its moving average, a discriminator."""

    def __init__(
        self,
        part: Part,
        painter: DetailPainter,
        config: RunConfig,
        compute: Compute,
        perceptual: PerceptualDistance | None,
        folder: Path,
    ) -> None:
        """folder: in which there is one for checkpoints of that part."""
        torch.manual_seed(config.seed)
        setting, device = config.painter, compute.device
        self.part, self.folder = part, folder / part.name
        self.config, self.setting, self.compute = config, setting, compute
        self.perceptual, self.step = perceptual, 0
        self.average = copy.deepcopy(painter).to(device).eval().requires_grad_(False)
        self.painter = copy.deepcopy(painter).to(device).train().requires_grad_(True)
        self.judge = InsideDiscriminator().to(device)
        self.networks: dict[str, nn.Module] = {"painter": self.painter, "discriminator": self.judge}
        for network in (*self.networks.values(), self.average):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        rates = {"painter": setting.learning_rate, "discriminator": setting.discriminator_rate}
        self.optimizers = {
            name: torch.optim.Adam(network.parameters(), rates[name], betas=(0.5, 0.99))
            for name, network in self.networks.items()
        }

    def learn(self, details: Details, on_progress: OnProgress) -> dict[str, float]:
        """Runs to the end; mean losses of the last steps. Saves first if `on_progress` raises."""
        setting, rows = self.setting, list[dict[str, float]]()
        while self.step < setting.steps:
            rng = rng_of(self.config.seed, self.step, 10)
            chosen = torch.from_numpy(rng.integers(len(details), size=setting.batch_size))
            with torch.no_grad():
                batch = varied(scene(self.part, details, chosen, self.compute.device), setting, rng)
            row = self.update(batch)
            if bad := next((name for name, value in row.items() if not math.isfinite(value)), None):
                raise InputError(
                    f"step {self.step} of the painter of {self.part.name}: {bad} is not finite",
                    hint="lower painter.learning_rate",
                )
            self.step += 1
            rows = [*rows[1 - FIGURES_OVER :], row]
            pixel = sum(row["pixel"] for row in rows) / len(rows)
            if self.step % self.config.checkpoint_every == 0:
                self.save()
            try:
                figures = f"steps, L1 inside {pixel:.4f}"
                on_progress(Progress(f"painting {self.part.name}", self.step, setting.steps, figures))
            except BaseException:
                self.save()
                raise
        self.save()
        return _means(rows)

    def update(self, batch: Scene) -> dict[str, float]:
        """One step of the painter and, after the first steps, of the discriminator; the losses."""
        setting, step = self.setting, self.step
        self._set_rates()
        with self.compute.autocast():
            result, paint = batch.painted(self.painter)
        shown = torch.lerp(batch.real, result, batch.inside)
        losses = {"pixel": self._pixel(result, paint, batch)}
        total = setting.pixel * losses["pixel"]
        if self.perceptual is not None and setting.perceptual and step % PERCEPTUAL_EVERY == 0:
            losses["perceptual"] = self.perceptual([shown], batch.real)[0]
            total = total + PERCEPTUAL_EVERY * setting.perceptual * losses["perceptual"]
        real, made = Insides(batch.real, batch.inside), Insides(shown, batch.inside)
        judges = step >= setting.alone and bool(setting.gan or setting.feature_matching)
        if judges:
            constant = Insides(made.pictures.detach(), made.masks)
            losses["discriminator"] = self._judge_learns(real, constant)
            with self.compute.autocast():
                gan, features = self.judge.generator_losses(real, made)
            losses |= {"gan": gan, "feature_matching": features}
            total = total + setting.gan * gan + setting.feature_matching * features
        self._step("painter", total)
        decay = min(setting.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for kept, now in zip(self.average.parameters(), self.painter.parameters(), strict=True):
                kept.lerp_(now, 1 - decay)
        return {name: loss.item() for name, loss in losses.items()}

    def _pixel(self, result: Tensor, paint: Painted, batch: Scene) -> Tensor:
        """Mean absolute error inside lips or lids: of the result and, for a part, of the paint alone."""
        area = 3 * batch.inside.sum().clamp_min(1)
        errors = [(picture - batch.real).abs() * batch.inside for picture in (result, paint.colours)]
        loss: Tensor = (errors[0].sum() + PAINT_SHARE * errors[1].sum()) / area
        return loss

    def _judge_learns(self, real: Insides, made: Insides) -> Tensor:
        with self.compute.autocast():
            loss = self.judge.loss(real, made)
        total = loss
        if self.step % R1_EVERY == 0 and self.setting.roughness:
            total = loss + self.setting.roughness * R1_EVERY / 2 * self.judge.roughness(real)
        self._step("discriminator", total)
        return loss.detach()

    def _step(self, name: str, loss: Tensor) -> None:
        optimizer = self.optimizers[name]
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.networks[name].parameters(), MAX_GRAD_NORM)
        optimizer.step()

    def _set_rates(self) -> None:
        setting, factor = self.setting, self.setting.rate(self.step)
        alone = 2.0 if self.step < setting.alone else 1.0
        self.optimizers["painter"].param_groups[0]["lr"] = alone * factor * setting.learning_rate
        self.optimizers["discriminator"].param_groups[0]["lr"] = factor * setting.discriminator_rate

    def save(self) -> None:
        """Writes a checkpoint of this context."""
        weights = {
            f"{kind}.{name}": tensor
            for kind, network in self.networks.items()
            for name, tensor in network.state_dict().items()
        }
        state = {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            state |= optimizer_tensors(name, optimizer)
        facts: dict[str, Any] = {"step": self.step, "model": self.config.model.to_json()}
        save_checkpoint(self.folder, Checkpoint(weights, state, facts), keep=self.config.output.keep)

    def resume(self) -> bool:
        """Goes on from the newest complete checkpoint, if there is one; UsageError for another painter's."""
        found = load_latest(self.folder)
        if found is None:
            return False
        if found.facts["model"] != self.config.model.to_json():
            raise UsageError(
                f"{shown(self.folder)} holds a painter of another architecture",
                hint="choose another -o, or the same settings",
            )
        for kind, network in self.networks.items():
            network.load_state_dict(_below(kind, found.weights))
        self.average.load_state_dict(_below("average", found.state))
        for name, optimizer in self.optimizers.items():
            restore_optimizer(name, optimizer, found.state)
        self.step = found.facts["step"]
        return True


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each entry over the rows that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    found = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: sum(values) / len(values) for name, values in found.items()}


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{prefix}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{prefix}.")
    }
