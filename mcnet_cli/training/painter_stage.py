"""The stages in which the detail painters learn to paint the inside of mouths, and eyes that open.

What a shut mouth hides can't be known, so a discriminator judges what is painted, in a real frame in which
the painter's work replaces that inside alone. The rest of the network stays as it is.
"""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcnet_cli.devices import Compute
from mcnet_cli.errors import InputError, UsageError, shown
from mcnet_cli.metrics import PerceptualDistance, feature_differences
from mcnet_cli.model.detail_paint import Painted
from mcnet_cli.model.detail_painter import DetailPainter
from mcnet_cli.progress import OnProgress, Progress
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
from mcnet_cli.training.discriminator import FeatureDiscriminator, InsideDiscriminator, Insides, of_one_size
from mcnet_cli.training.objective_config import PainterTraining
from mcnet_cli.training.painter_batch import PainterBatch, augmented, batch_of
from mcnet_cli.training.painter_data import FacePart
from mcnet_cli.training.painter_squares import PainterData
from mcnet_cli.training.sampling import rng_of

# Longest gradient of the painter and of the discriminator.
MAX_GRAD_NORM = 10.0
# The R1 penalty is slow: computed in every n-th step, with n times the weight.
R1_EVERY = 4
# The perceptual network sees this part of the squares, enlarged so many times: single teeth are small.
ROWS, COLUMNS, ENLARGED = (0.16, 0.84), (0.11, 0.89), 2.0
# The learning rate of the discriminator of features, over that of the other one.
FEATURE_RATE = 0.5
PERCEPTUAL = "perceptual", "projected"  # losses from it, and the names of their weights
# Steps over which figures are averaged.
FIGURES_OVER = 50
# Share of paint alone in the loss of pixels, beside that of the result. Means of so many pixels along both
# sides are compared: where exactly edges of teeth are can't be known.
PAINT_SHARE, COMPARED_PX = 0.5, 2


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
        """painter: stays as it is. folder: its subfolder named like the stage gets the checkpoints."""
        torch.manual_seed(config.seed)
        setting, device = config.painter, compute.device
        name, self.steps, learning = self._learning(part, painter, setting)
        self.part, self.folder, self.given = part, folder / name, painter
        self.config, self.setting, self.compute = config, setting, compute
        self.perceptual, self.step = perceptual, 0
        self.average = copy.deepcopy(learning).to(device).eval().requires_grad_(False)
        self.painter = copy.deepcopy(learning).to(device).train().requires_grad_(True)
        self.discriminator = InsideDiscriminator().to(device)
        self.networks: dict[str, nn.Module] = {"painter": self.painter, "discriminator": self.discriminator}
        self.features: FeatureDiscriminator | None = None
        if perceptual is not None and setting.projected:
            seen = of_one_size(perceptual.features(torch.zeros(1, 3, 64, 64, device=device)))
            self.features = FeatureDiscriminator([feature.shape[1] for feature in seen]).to(device)
            self.networks["features"] = self.features
        for network in (*self.networks.values(), self.average):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizers = {
            name: torch.optim.Adam([p for p in network.parameters() if p.requires_grad], betas=(0.5, 0.99))
            for name, network in self.networks.items()
        }

    def taught(self, network: nn.Module, data: PainterData, on_progress: OnProgress) -> dict[str, float]:
        """Goes on to the end, and gives `network` what was learned; the losses, named for a log."""
        self.resume()
        losses = self.learn(data, on_progress)
        network.load_state_dict(self.average.state_dict())
        named = self.folder.name.replace(" ", "_")
        return {f"{named}_{name}": value for name, value in losses.items()}

    def learn(self, data: PainterData, on_progress: OnProgress) -> dict[str, float]:
        """Runs to the end; mean losses of the last steps. Saves first if `on_progress` raises."""
        setting, rows = self.setting, list[dict[str, float]]()
        while self.step < self.steps:
            rng = rng_of(self.config.seed, self.step, 10)
            chosen = torch.from_numpy(rng.integers(len(data), size=setting.batch_size))
            with torch.no_grad():
                batch = augmented(batch_of(self.part, data, chosen, self.compute.device), setting, rng)
            row = self.update(batch)
            if bad := next((name for name, value in row.items() if not math.isfinite(value)), None):
                raise InputError(
                    f"step {self.step} of the painter of {self.folder.name}: {bad} is not finite",
                    hint="lower painter.learning_rate",
                )
            self.step += 1
            rows = [*rows[1 - FIGURES_OVER :], row]
            pixel = sum(row["pixel"] for row in rows) / len(rows)
            if self.step % self.config.checkpoint_every == 0:
                self.save()
            try:
                figures = f"steps, L1 inside {pixel:.4f}"
                on_progress(Progress(f"painting {self.folder.name}", self.step, self.steps, figures))
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
            paint = self._paint(batch)
        result = torch.lerp(batch.warped, paint.colours, batch.inside * paint.share)
        shown = torch.lerp(batch.real, result, batch.inside)
        losses = {"pixel": self._pixel(result, paint, batch)}
        total = setting.pixel * losses["pixel"]
        if self.perceptual is not None and (setting.perceptual or self.features is not None):
            found = self._perceptual_losses(shown, batch)
            losses |= found
            total = total + sum(getattr(setting, name) * found[name] for name in PERCEPTUAL if name in found)
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

    def _perceptual_losses(self, shown: Tensor, batch: PainterBatch) -> dict[str, Tensor]:
        """What the perceptual network says of what is shown; teaches the discriminator of its features."""
        assert self.perceptual is not None
        with self.compute.autocast():
            made = self.perceptual.features(_magnified(shown))
            with torch.no_grad():
                real = self.perceptual.features(_magnified(batch.real))
        losses = {"perceptual": feature_differences(made, real).mean()}
        if self.features is None or self.step < self.setting.alone:
            return losses
        masks, ours, theirs = _magnified(batch.inside), of_one_size(made), of_one_size(real)
        with self.compute.autocast():
            loss = self.features.loss(theirs, ours, masks)
        self._step("features", loss)
        with self.compute.autocast():
            losses["projected"] = self.features.generator_loss(ours, masks)
        return losses | {"features": loss.detach()}

    def _learning(
        self, part: FacePart, painter: DetailPainter, setting: PainterTraining
    ) -> tuple[str, int, nn.Module]:
        """What this stage is called, its steps, and the network that learns."""
        return part.name, setting.steps, painter

    def _paint(self, batch: PainterBatch) -> Painted:
        """What is painted by what learns."""
        assert isinstance(self.painter, DetailPainter)
        return batch.paint(self.painter)

    def _pixel(self, result: Tensor, paint: Painted, batch: PainterBatch) -> Tensor:
        """Mean absolute error inside lips or lids: of the result and, for a part, of the paint alone."""
        errors = [(picture - batch.real) * batch.inside for picture in (result, paint.colours)]
        ours, alone = (absolute(error, COMPARED_PX) for error in errors)
        return (ours + PAINT_SHARE * alone) / batch.inside.sum().clamp_min(1)

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
        setting, factor = self.setting, self.setting.rate(self.step / max(self.steps, 1))
        alone = 2.0 if self.step < setting.alone else 1.0
        self.optimizers["painter"].param_groups[0]["lr"] = alone * factor * setting.learning_rate
        self.optimizers["discriminator"].param_groups[0]["lr"] = factor * setting.discriminator_rate
        if self.features is not None:
            rate = FEATURE_RATE * factor * setting.discriminator_rate
            self.optimizers["features"].param_groups[0]["lr"] = rate

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
        if {name.partition(".")[0] for name in found.weights} != self.networks.keys():
            raise UsageError(
                f"{shown(self.folder)} holds a painter that learned with other discriminators",
                hint="choose another -o, or the same painter.projected and perceptual network",
            )
        for kind, network in self.networks.items():
            network.load_state_dict(tensors_below(f"{kind}.", found.weights))
        self.average.load_state_dict(tensors_below("average.", found.state))
        for name, optimizer in self.optimizers.items():
            restore_optimizer(name, optimizer, found.state)
        self.step = found.facts["step"]
        return True


def _magnified(pictures: Tensor) -> Tensor:
    """The part of (B, C, S, S) squares that the perceptual network sees, enlarged."""
    rows, columns = (
        slice(*(round(share * side) for share in part))
        for part, side in zip((ROWS, COLUMNS), pictures.shape[2:], strict=True)
    )
    part = pictures[:, :, rows, columns]
    larger = F.interpolate(part, scale_factor=ENLARGED, mode="bilinear", align_corners=False)
    return larger.contiguous(memory_format=torch.channels_last)


def absolute(errors: Tensor, mean_of_px: int = 1) -> Tensor:
    """(): the sum over pixels of absolute (B, 3, S, S) errors, or of their means over squares of pixels."""
    loss: Tensor = F.avg_pool2d(errors, mean_of_px).abs().mean(1).sum() * mean_of_px**2
    return loss


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each entry over the rows that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    found = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: sum(values) / len(values) for name, values in found.items()}
