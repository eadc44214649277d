"""The training loop, in the order in which it happens."""

import contextlib
import copy
import json
import logging
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mcnet_cli.errors import InputError
from mcnet_cli.model import Keypoints, MCNet, ModelConfig, Rendering, SourceState
from mcnet_cli.training import losses
from mcnet_cli.training.augment import AugmentConfig, Batch, augment
from mcnet_cli.training.checkpoints import load_latest, save_checkpoint
from mcnet_cli.training.config import LANDMARKS, RunConfig, mirror_order
from mcnet_cli.training.dataset import Clip, PairSampler
from mcnet_cli.training.perceptual import PerceptualDistance
from mcnet_cli.training.sheets import write_sheet

logger = logging.getLogger(__name__)
SMALL = 128
LOG_EVERY = 20


class Training:
    """A run in progress: model, optimizer, moving average, random state."""

    def __init__(
        self,
        model_config: ModelConfig,
        config: RunConfig,
        clips: list[Clip],
        run: Path,
        device: torch.device,
        dtype: torch.dtype,
        perceptual: PerceptualDistance | None,
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.clips, self.run, self.device, self.dtype = config, clips, run, device, dtype
        self.rng = np.random.default_rng(config.seed)
        self.sampler = PairSampler(clips, config.expressive_share, self.rng)
        self.model = MCNet(model_config).to(device).channels_last()
        self.ema = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.model.parameters(), config.learning_rate, betas=(0.5, 0.999))
        self.perceptual = perceptual and perceptual.to(device, memory_format=torch.channels_last)
        self.step, self.elapsed_s, self.bad_in_a_row, self.skipped = 0, 0.0, 0, 0
        self._mirror = torch.tensor(mirror_order())

    @property
    def progress(self) -> float:
        """The share of the run that is done, by steps where they are given, else by time."""
        if self.config.steps:
            return min(1.0, self.step / self.config.steps)
        return min(1.0, self.elapsed_s / (60 * self.config.minutes))

    def resume(self) -> bool:
        """Goes on from the newest complete checkpoint, if there is one."""
        facts = load_latest(self.run / "checkpoints", self.model, self.ema, self.optimizer)
        if facts is None:
            return False
        self.step, self.elapsed_s, self.skipped = facts["step"], facts["elapsed_s"], facts["skipped"]
        self.rng.bit_generator.state = facts["rng"]
        return True

    def save(self) -> None:
        """Writes a checkpoint of this moment."""
        facts = {"step": self.step, "elapsed_s": self.elapsed_s, "skipped": self.skipped}
        facts["rng"] = self.rng.bit_generator.state
        save_checkpoint(self.run / "checkpoints", self.model, self.ema, self.optimizer, facts)

    def train(self, on_progress: Callable[[dict[str, Any]], None] | None = None) -> None:
        """Runs to the end, or until Ctrl-C or TERM, which save first and are then raised."""
        sums: dict[str, float] = {}
        since, counted = time.monotonic(), 0
        with _stop_flag() as stopped:
            while self.progress < 1:
                started = time.monotonic()
                batch = self._next_batch()
                terms = self._update(batch)
                self.elapsed_s += time.monotonic() - started
                self.step += 1
                counted += len(batch.source)
                for name, value in terms.items():
                    sums[name] = sums.get(name, 0.0) + value
                if self.step % LOG_EVERY == 0:
                    row = {"step": self.step, "progress": round(self.progress, 4), "size": batch.source.shape[-1]}
                    row |= {"elapsed_s": round(self.elapsed_s, 1), "skipped": self.skipped}
                    row |= {"samples_per_s": round(counted / (time.monotonic() - since), 2)}
                    row |= {name: round(value / LOG_EVERY, 5) for name, value in sums.items()}
                    with open(self.run / "log.jsonl", "a") as log:
                        log.write(json.dumps(row) + "\n")
                    if on_progress:
                        on_progress(row)
                    sums, since, counted = {}, time.monotonic(), 0
                if self.step % self.config.sheet_every == 0:
                    self.write_sheet()
                if self.step % self.config.checkpoint_every == 0 or stopped():
                    self.save()
                if signal_number := stopped():
                    raise KeyboardInterrupt if signal_number == signal.SIGINT else SystemExit(143)
        self.save()
        self.write_sheet()

    def write_sheet(self) -> None:
        """A sheet of the moving average on six pairs that are the same every time."""
        chance = np.random.default_rng(1)
        pairs = PairSampler(self.clips, 0.8, chance).draw(6)
        still = AugmentConfig(0, 0, 0, 0, 0, 0, 0, 0)
        batch = augment(pairs, self.ema.config.size, still, chance).to(self.device)
        with torch.inference_mode(), self._autocast():
            source, driving = self._true_keypoints(batch)
            rendering = self.ema(self._state(self.ema, batch.source, source), driving)
        write_sheet(self.run / "samples" / f"{self.step:08d}.png", batch, rendering)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def _next_batch(self) -> Batch:
        config, full = self.config, self.model.config.size
        small = self.progress < config.small_share and full > SMALL
        pairs = self.sampler.draw(config.small_batch if small else config.batch_size)
        return augment(pairs, SMALL if small else full, config.augment, self.rng)

    def _true_keypoints(self, batch: Batch) -> tuple[Keypoints, Keypoints]:
        found = []
        for points in (batch.source_points, batch.driving_points):
            chosen = points[:, list(LANDMARKS)]
            mirrored = batch.mirrored.to(points.device)[:, None, None]
            found.append(Keypoints(torch.where(mirrored, chosen[:, self._mirror.to(points.device)], chosen)))
        return found[0], found[1]

    @staticmethod
    def _state(model: MCNet, source: Tensor, keypoints: Keypoints) -> SourceState:
        source = source.contiguous(memory_format=torch.channels_last)
        return SourceState(*model.generator.encode(source), keypoints)

    def _update(self, cpu_batch: Batch) -> dict[str, float]:
        """One step of the optimizer; the loss terms as numbers. A non-finite step is skipped."""
        config, batch = self.config, cpu_batch.to(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * self._rate()
        self.model.train()
        with self._autocast():
            terms = self._loss_terms(cpu_batch, batch)
            total = torch.stack(list(terms.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_norm)
        values = {name: float(value.detach()) for name, value in terms.items()}
        if not (torch.isfinite(total) and torch.isfinite(norm)):
            self._skip(values)
            return values | {"total": 0.0}
        self.bad_in_a_row = 0
        self.optimizer.step()
        self._average()
        return values | {"total": float(total.detach()), "grad_norm": float(norm)}

    def _skip(self, values: dict[str, float]) -> None:
        self.skipped += 1
        self.bad_in_a_row += 1
        bad = next((name for name, value in values.items() if not math.isfinite(value)), "gradient norm")
        logger.warning("step %d skipped: %s is not finite", self.step, bad)
        if self.bad_in_a_row == 3:
            raise InputError(
                f"three steps in a row were not finite; the first bad term is {bad}",
                hint="lower learning_rate, or look at the clips",
            )

    def _rate(self) -> float:
        warm = min(1.0, (self.step + 1) / self.config.warmup_steps)
        late = max(0.0, (self.progress - self.config.decay_from) / (1 - self.config.decay_from))
        return warm * (1 - late * (1 - self.config.final_rate))

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        for kept, now in zip(self.ema.state_dict().values(), self.model.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(now, 1 - decay)
            else:
                kept.copy_(now)

    def _loss_terms(self, cpu_batch: Batch, batch: Batch) -> dict[str, Tensor]:
        config, weights = self.config, self.config.losses
        frames = torch.cat([batch.source, batch.driving]).contiguous(memory_format=torch.channels_last)
        found, count = self.model.detect_keypoints(frames), len(batch.source)
        source, driving = self._true_keypoints(batch)
        wanted = torch.cat([source.values, driving.values])
        terms = {"keypoints": weights.keypoints * losses.landmark_distance(found, wanted)}
        if self.progress > config.detector_from and self.rng.random() < config.detector_share:
            # as they are, errors included, but without gradient: pictures would pull the detector off the landmarks
            source, driving = found[:count].map(Tensor.detach), found[count:].map(Tensor.detach)
        rendering: Rendering = self.model(self._state(self.model, batch.source, source), driving)
        target, size = batch.driving, batch.driving.shape[-1]
        regions = losses.region_weights(cpu_batch.driving_points, size).to(self.device)
        terms["pixel"] = weights.pixel * losses.weighted_l1(rendering.prediction, target, regions)
        terms["decoded_pixel"] = weights.decoded_pixel * losses.weighted_l1(rendering.decoded, target, regions)
        terms["warped_pixel"] = weights.warped_pixel * (rendering.deformed - target).abs().mean()
        terms["consistency"] = weights.consistency * losses.feature_consistency(rendering.memory)
        masks = losses.opening_masks(cpu_batch, rendering.motion.occlusion.shape[-1])
        masks = losses.OpeningMasks(masks.changed.to(self.device), masks.skin.to(self.device))
        terms["openings"] = weights.openings * losses.openings_loss(rendering, masks)
        if self.perceptual is not None:
            # depthwise convolutions: on CPUs bfloat16 is slower for them than float32
            with torch.autocast(self.device.type, self.dtype, enabled=self.device.type != "cpu"):
                terms |= self._perceptual_terms(rendering, target, cpu_batch.driving_points)
        return terms

    def _perceptual_terms(self, rendering: Rendering, target: Tensor, points: Tensor) -> dict[str, Tensor]:
        assert self.perceptual is not None
        weights, size = self.config.losses, target.shape[-1]

        def shrunk(image: Tensor) -> Tensor:
            return F.avg_pool2d(image, size // SMALL) if size > SMALL else image

        # the network costs more than the generator: two pictures are looked at in every third step only
        occasional = {
            0: ("warped_perceptual", weights.warped_perceptual, rendering.deformed),
            1: ("decoded_perceptual", weights.decoded_perceptual, rendering.decoded),
        }.get(self.step % 3)
        images = [shrunk(rendering.prediction)]
        if occasional:
            images.append(shrunk(occasional[2]))
        distances = self.perceptual(images, shrunk(target))
        terms = {"perceptual": weights.perceptual * distances[0]}
        if occasional:
            terms[occasional[0]] = occasional[1] * distances[1]
        side = 80 if size > SMALL else 56
        boxes = losses.crop_boxes(points, size, side, self.rng).to(self.device)
        crops = [losses.crop(image, boxes, side) for image in (rendering.prediction, rendering.decoded, target)]
        near = self.perceptual(crops[:2], crops[2])
        terms["crop_perceptual"] = weights.crop_perceptual * (2 * near[0] + near[1]) / 3
        return terms


@contextlib.contextmanager
def _stop_flag() -> Iterator[Callable[[], int]]:
    """The first Ctrl-C or TERM is only remembered, so that a step ends and is saved; a second acts at once."""
    asked: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        for which, handler in before.items():
            signal.signal(which, handler)
        asked.append(number)
        logger.warning("finishing the step and saving; once more to stop at once")

    before = {which: signal.signal(which, remember) for which in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked[0] if asked else 0
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


def write_config(run: Path, model: ModelConfig, config: RunConfig) -> None:
    """Writes the resolved configuration to the run's config.toml."""
    import tomli_w

    resolved = asdict(config) | {"model": _plain(json.loads(model.to_json()))}
    (run / "config.toml").write_text(tomli_w.dumps(resolved))


def _plain(value: Any) -> Any:
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value
