"""The stages in which the detail painters learn to paint the inside of mouths, and eyes that open.

What a shut mouth hides can't be known, so a discriminator judges what is painted, in a real frame in which
the painter's work replaces that inside alone. The rest of the network stays as it is.
"""

import copy
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
    tensors_below,
    update_average,
)
from mcnet_cli.training.config import RunConfig
from mcnet_cli.training.dataset import Clip
from mcnet_cli.training.discriminator import InsideDiscriminator, Insides
from mcnet_cli.training.objective_config import PainterTraining
from mcnet_cli.training.painter_data import FacePart, collect, taught_parts
from mcnet_cli.training.painter_squares import PainterData
from mcnet_cli.training.sampling import rng_of

# Longest gradient of the painter and of the discriminator.
MAX_GRAD_NORM = 10.0
# The R1 penalty and the perceptual loss are slow: computed in every n-th step, with n times the weight.
R1_EVERY, PERCEPTUAL_EVERY = 4, 2
# Steps over which figures are averaged.
FIGURES_OVER = 50
# Share of paint alone in the loss of pixels, beside that of the result.
PAINT_SHARE = 0.5
# Standard deviations of the blur that makes pairs softer, in pixels.
BLUR_PX = 0.3, 1.7


def train_painters(
    model: MCNet,
    clips: Sequence[Clip],
    config: RunConfig,
    compute: Compute,
    perceptual: PerceptualDistance | None,
    folder: Path,
    on_progress: OnProgress,
) -> dict[str, float]:
    """Trains the painters of `model` in place, from what `folder` holds of that work; returns mean losses.

    The result depends on `model`, the clips and the configuration alone, however often work is interrupted.
    """
    found: dict[str, float] = {}
    for part in taught_parts(clips, config):
        painter: DetailPainter = getattr(model, part.painter)
        kept = folder / f"{part.name}.safetensors"
        if not kept.is_file():
            collect(part, model, clips, config, compute, on_progress).save(kept)
        data, stage = PainterData.load(kept), PainterStage(part, painter, config, compute, perceptual, folder)
        stage.resume()
        losses = stage.learn(data, on_progress)
        painter.load_state_dict(stage.average.state_dict())
        found |= {part.name: float(len(data))} | {f"{part.name}_{k}": v for k, v in losses.items()}
    return found


@dataclass(frozen=True, slots=True)
class PainterBatch:
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
        """The squares with what `painter` paints in them, and the paint, finished as in use."""
        source = painter.encode(self.sources, self.source_shape)
        paint = painter(self.warped, self.shape, source).finished()
        return torch.lerp(self.warped, paint.colours, self.inside * paint.share), paint


def batch_of(part: FacePart, data: PainterData, chosen: Tensor, device: torch.device) -> PainterBatch:
    """The chosen pairs without augmentation."""
    of = data.of[chosen]
    warped, real, sources = (
        pictures.to(device).float() / 255
        for pictures in (data.warped[chosen], data.real[chosen], data.sources[of])
    )
    shape = part.shape(data.points[chosen].to(device), data.arcs[chosen].to(device))
    own = part.shape(data.source_points[of].to(device), data.source_arcs[of].to(device))
    inside, _ = shape.distances(warped.shape[-1], step=2)
    return PainterBatch(warped, real, shape, limit(inside), sources, own)


def augmented(batch: PainterBatch, setting: PainterTraining, rng: np.random.Generator) -> PainterBatch:
    """The batch with pairs mirrored, recoloured and blurred at random, source and driving alike."""
    count = len(batch.warped)
    colour = ColourChange.draw(count, setting.colour, setting.faded, rng)
    flipped = torch.from_numpy(rng.random(count) < 0.5).to(batch.warped.device)
    sigma = rng.uniform(*BLUR_PX, count) * (rng.random(count) < setting.blurred)
    pictures = [
        _softened(_mirrored(colour(each), flipped), sigma)
        for each in (batch.warped, batch.real, batch.sources)
    ]
    shapes = [_mirrored_shape(shape, flipped) for shape in (batch.shape, batch.source_shape)]
    inside = _mirrored(batch.inside, flipped)
    return PainterBatch(pictures[0], pictures[1], shapes[0], inside, pictures[2], shapes[1])


def _mirrored(pictures: Tensor, flipped: Tensor) -> Tensor:
    return torch.where(flipped[:, None, None, None], pictures.flip(3), pictures)


def _mirrored_shape(shape: Shape, flipped: Tensor) -> Shape:
    other = shape.mirrored()
    points = torch.where(flipped[:, None, None], other.points, shape.points)
    return type(shape)(points, torch.where(flipped[:, None, None, None], other.arcs, shape.arcs))


def _softened(pictures: Tensor, sigma: np.ndarray) -> Tensor:
    """(B, 3, H, W) pictures, each blurred by a Gaussian of its own sigma in pixels; 0 leaves it as it is."""
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
    """The training of one painter: a copy that learns, its moving average, and a discriminator."""

    def __init__(
        self,
        part: FacePart,
        painter: DetailPainter,
        config: RunConfig,
        compute: Compute,
        perceptual: PerceptualDistance | None,
        folder: Path,
    ) -> None:
        """folder: its subfolder named like the part gets the checkpoints."""
        torch.manual_seed(config.seed)
        setting, device = config.painter, compute.device
        self.part, self.folder = part, folder / part.name
        self.config, self.setting, self.compute = config, setting, compute
        self.perceptual, self.step = perceptual, 0
        self.average = copy.deepcopy(painter).to(device).eval().requires_grad_(False)
        self.painter = copy.deepcopy(painter).to(device).train().requires_grad_(True)
        self.discriminator = InsideDiscriminator().to(device)
        self.networks: dict[str, nn.Module] = {"painter": self.painter, "discriminator": self.discriminator}
        for network in (*self.networks.values(), self.average):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        rates = {"painter": setting.learning_rate, "discriminator": setting.discriminator_rate}
        self.optimizers = {
            name: torch.optim.Adam(network.parameters(), rates[name], betas=(0.5, 0.99))
            for name, network in self.networks.items()
        }

    def learn(self, data: PainterData, on_progress: OnProgress) -> dict[str, float]:
        """Runs to the end; mean losses of the last steps. Saves first if `on_progress` raises."""
        setting, rows = self.setting, list[dict[str, float]]()
        while self.step < setting.steps:
            rng = rng_of(self.config.seed, self.step, 10)
            chosen = torch.from_numpy(rng.integers(len(data), size=setting.batch_size))
            with torch.no_grad():
                batch = augmented(batch_of(self.part, data, chosen, self.compute.device), setting, rng)
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

    def update(self, batch: PainterBatch) -> dict[str, float]:
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
        if step >= setting.alone and (setting.gan or setting.feature_matching):
            constant = Insides(made.pictures.detach(), made.masks)
            losses["discriminator"] = self._teach_discriminator(real, constant)
            with self.compute.autocast():
                gan, features = self.discriminator.generator_losses(real, made)
            losses |= {"gan": gan, "feature_matching": features}
            total = total + setting.gan * gan + setting.feature_matching * features
        self._step("painter", total)
        update_average(self.average, self.painter, setting.ema, step)
        return {name: loss.item() for name, loss in losses.items()}

    def _pixel(self, result: Tensor, paint: Painted, batch: PainterBatch) -> Tensor:
        """Mean absolute error inside lips or lids: of the result and, for a part, of the paint alone."""
        area = 3 * batch.inside.sum().clamp_min(1)
        errors = [(picture - batch.real).abs() * batch.inside for picture in (result, paint.colours)]
        loss: Tensor = (errors[0].sum() + PAINT_SHARE * errors[1].sum()) / area
        return loss

    def _teach_discriminator(self, real: Insides, made: Insides) -> Tensor:
        with self.compute.autocast():
            loss = self.discriminator.loss(real, made)
        total = loss
        if self.step % R1_EVERY == 0 and self.setting.roughness:
            total = loss + self.setting.roughness * R1_EVERY / 2 * self.discriminator.roughness(real)
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
        """Writes a checkpoint."""
        weights: dict[str, Tensor] = {}
        for kind, network in self.networks.items():
            weights |= network.state_dict(prefix=f"{kind}.")
        state = self.average.state_dict(prefix="average.")
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
            network.load_state_dict(tensors_below(f"{kind}.", found.weights))
        self.average.load_state_dict(tensors_below("average.", found.state))
        for name, optimizer in self.optimizers.items():
            restore_optimizer(name, optimizer, found.state)
        self.step = found.facts["step"]
        return True


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each entry over the rows that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    found = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: sum(values) / len(values) for name, values in found.items()}
