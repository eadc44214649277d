"""The last stage of a run: the decoder learns to paint open mouths.

What a mouth shows that was closed can't be known. Errors are least for the mean of all that may be there, a
grey smear; so here a discriminator has its say. Nothing but the decoder learns, on crops around mouths whose
features are computed once: a mouth takes a tenth of the time that a pair takes the whole network.
"""

import copy
import logging
import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from mcnet_cli.model import Canvas, Keypoints, MCNet, Rendering, SourceState
from mcnet_cli.model.generator import Generator
from mcnet_cli.training.augment import Batch, augment
from mcnet_cli.training.config import RunConfig
from mcnet_cli.training.dataset import Clip
from mcnet_cli.training.landmark_objective import landmark_keypoints
from mcnet_cli.training.losses import INNER_LIPS
from mcnet_cli.training.mouths import LEAST, MouthDiscriminator, Mouths, inside, mouth_masks
from mcnet_cli.training.sampling import Pair, PairSampler, chance

logger = logging.getLogger(__name__)
See = Callable[[str, int, int, str], None]  # stage, done, total, unit and figures; may raise to end it all
Scene = dict[str, Tensor]  # crops of all that the decoder paints from, and of what its picture should be
GATHERING, PAINTING = "looking at mouths", "painting mouths"
PAINTED = 0.3  # share of a mouth that must be painted, not warped, for there to be something to learn
GROWS = 0.6  # of a mouth's area in the driving: the source's is smaller, or there is little to paint
EXPRESSIVE_SHARE = 0.8
DRAWN_TOGETHER, MOST_DRAWN = 8, 10  # pairs at a time; and for each mouth that is wanted
JITTER_PX = 4.0  # of a crop's place around its mouth, at 256²
AVERAGING = 0.995  # the share that the decoder's moving average keeps at a step
LONGEST = 2.0  # gradient of the discriminator
SELDOM = 4  # steps to one that keeps the discriminator smooth, which is slow
LATEST = 50  # steps, over which figures are averaged


def learn_mouths(
    model: MCNet, clips: Sequence[Clip], config: RunConfig, device: torch.device, see: See
) -> dict[str, float]:
    """Trains the decoder of `model` in place; `count` of mouths found, and the last steps' mean losses.

    Depends on `model`, the clips and the configuration alone. Where too few mouths open, or a loss isn't
    finite, a warning says so and `model` stays as it was.
    """
    setting = config.mouths
    scenes = _scenes(model.eval(), clips, config, device, see)
    if len(scenes) < setting.batch_size:
        logger.warning("the clips show too few mouths that open: they are not trained apart")
        return {}
    torch.manual_seed(config.seed)
    painter, rng = _Painter(model, config, device), chance(config.seed, 6)
    rows: list[dict[str, float]] = []
    for step in range(setting.alone + setting.steps):
        chosen = rng.integers(len(scenes), size=setting.batch_size)
        row = painter.update(_together([scenes[number] for number in chosen], device), step)
        if not all(map(math.isfinite, row.values())):
            logger.warning("mouths are not trained apart: at step %d a loss was not finite", step)
            return {}
        rows = [*rows[1 - LATEST :], row]
        loss = sum(row["discriminator"] for row in rows) / len(rows)
        see(PAINTING, step + 1, setting.alone + setting.steps, f"steps, discriminator {loss:.3f}")
    if not painter.finish(model):
        logger.warning("mouths are not trained apart: a weight was not finite in the end")
        return {}
    whole = [row for row in rows if len(row) == len(rows[-1])]
    means = {name: sum(row[name] for row in whole) / len(whole) for name in rows[-1]}
    return {"count": len(scenes), **means}


class _Painter:
    """A copy of a decoder with its discriminator, both learning; `finish` gives its moving average back."""

    def __init__(self, model: MCNet, config: RunConfig, device: torch.device) -> None:
        self.generator, self.setting = copy.deepcopy(model.generator).requires_grad_(False), config.mouths
        self.parameters = _learning(self.generator)
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        self._average = [parameter.detach().clone() for parameter in self.parameters]
        self.discriminator = MouthDiscriminator().to(device)
        rates = self.setting.learning_rate, self.setting.discriminator_rate
        self._optimizer = torch.optim.Adam(self.parameters, rates[0], betas=(0.5, 0.99))
        self._judges = torch.optim.Adam(self.discriminator.parameters(), rates[1], betas=(0.0, 0.99))

    def update(self, scenes: Scene, step: int) -> dict[str, float]:
        """One step of the discriminator, and once that has learned alone for long enough, of the decoder."""
        setting, learns = self.setting, step >= self.setting.alone
        with torch.set_grad_enabled(learns):
            decoded = self.generator.decode(_canvas(scenes))
        result = torch.lerp(decoded, scenes["deformed"], scenes["trust"])
        middle = decoded.shape[-1] // 4
        centre = slice(middle, -middle)
        real = Mouths(scenes["real"][..., centre, centre], scenes["mask"][..., centre, centre])
        made = real.with_inside(result[..., centre, centre])
        self._judges.zero_grad()
        judged = self.discriminator.loss(real, Mouths(made.pictures.detach(), made.masks))
        rough = self.discriminator.roughness(real) if step % SELDOM == 0 else judged.new_zeros(())
        (judged + setting.roughness * SELDOM / 2 * rough).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.discriminator.parameters(), LONGEST)  # roughness may leap
        self._judges.step()
        if not learns:
            return {"discriminator": judged.item()}
        gan, features = self.discriminator.generator_losses(real, made)
        pixel = inside((decoded - scenes["real"]).abs().mean(1, keepdim=True), scenes["mask"]).mean()
        away = (decoded - scenes["decoded"]).abs() * (1 - scenes["mask"])
        still = away[..., centre, centre].mean()  # near a crop's edge the decoder sees zeros beyond it
        total = setting.gan * gan + setting.feature_matching * features
        total = total + setting.pixel * pixel + setting.still * still
        self._optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        decay = min(AVERAGING, (1 + step - setting.alone) / (10 + step - setting.alone))
        for kept, now in zip(self._average, self.parameters, strict=True):
            kept.lerp_(now.detach(), 1 - decay)
        losses = {"discriminator": judged, "gan": gan, "feature_matching": features}
        losses |= {"pixel": pixel, "still": still, "total": total}
        return {name: loss.item() for name, loss in losses.items()}

    @torch.no_grad()
    def finish(self, model: MCNet) -> bool:
        """Puts the moving average into `model`, if all of it is finite."""
        if not all(kept.isfinite().all() for kept in self._average):
            return False
        for parameter, kept in zip(_learning(model.generator), self._average, strict=True):
            parameter.copy_(kept)
        return True


def _learning(generator: Generator) -> list[nn.Parameter]:
    """The decoder's parameters, but for the blocks at the coarsest size."""
    first = generator.config.generator.residual_blocks[0]
    parts = (generator.resblock[first:], generator.up_blocks, generator.join, generator.final)
    return [parameter for part in parts for parameter in part.parameters()]


def _scenes(
    model: MCNet, clips: Sequence[Clip], config: RunConfig, device: torch.device, see: See
) -> list[Scene]:
    """Scenes of mouths that have to be painted, (1, C, s, s) in half precision on the CPU."""
    count, size, scenes = config.mouths.count, config.model.size, list[Scene]()
    sampler = PairSampler(
        clips, config.seed, expressive_share=EXPRESSIVE_SHARE, time_flip=config.augment.time_flip
    )
    for first in range(0, count * MOST_DRAWN, DRAWN_TOGETHER):
        see(GATHERING, len(scenes), count, "mouths")
        drawn = [sampler.draw(number) for number in range(first, first + DRAWN_TOGETHER)]
        for draw in drawn:
            if draw.error is not None:
                raise draw.error
        pairs = [draw.pair for draw in drawn if draw.pair is not None and _opens(draw.pair)]
        if not pairs:
            continue
        batch = augment(pairs, size, config.augment, config.seed, device)
        masks = mouth_masks(batch.driving_points, size)
        rows = masks.amax((1, 2, 3)).nonzero()[:, 0].tolist()
        if not rows:
            continue
        with torch.inference_mode():
            rendering = _rendered(model, batch, rows, config)
            painted = inside(1 - rendering.trust.float().cpu(), masks[rows])
        scenes += [
            _cut(rendering, batch, masks, place, row, config.seed)
            for place, row in enumerate(rows)
            if painted[place] > PAINTED
        ]
        if len(scenes) >= count:
            break
    return scenes[:count]


def _opens(pair: Pair) -> bool:
    """Whether the mouth is open in the driving, and further than in the source."""
    lips = list(INNER_LIPS)
    before, after = (cv2.contourArea(points[lips]) for points in (pair.source_points, pair.driving_points))
    return after >= LEAST * pair.driving.shape[0] ** 2 and before < GROWS * after


def _rendered(model: MCNet, batch: Batch, rows: list[int], config: RunConfig) -> Rendering:
    source, driving = (
        landmark_keypoints(points, batch.mirrored, config.keypoints.landmarks)[rows].to(batch.source.device)
        for points in (batch.source_points, batch.driving_points)
    )
    pictures = batch.source[rows].contiguous(memory_format=torch.channels_last)
    state = SourceState(*model.generator.encode(pictures), Keypoints(source))
    rendering: Rendering = model(state, Keypoints(driving))
    return rendering


def _cut(rendering: Rendering, batch: Batch, masks: Tensor, place: int, row: int, seed: int) -> Scene:
    """The half of a picture around its mouth, on the grid of the coarsest features.

    place, row: of the picture in the rendering, and in the batch.
    """
    size, canvas = masks.shape[-1], rendering.canvas
    cell = size // canvas.features[0].shape[-1]
    side = size // 2 // cell * cell
    middle = (batch.driving_points[row, list(INNER_LIPS)].mean(0).numpy() + 1) * (size - 1) / 2
    middle = middle + chance(seed, int(batch.numbers[row]), 7).normal(0, JITTER_PX * size / 256, 2)
    corner = (np.clip(np.rint((middle - side / 2) / cell), 0, (size - side) // cell) * cell).astype(int)

    def cut(maps: Tensor, number: int) -> Tensor:
        share = size // maps.shape[-1]
        (left, top), reach = corner // share, side // share
        part = maps[number : number + 1, :, top : top + reach, left : left + reach]
        return part.to("cpu", torch.float16).clone()

    found = {f"feature {n}": feature for n, feature in enumerate(canvas.features)}
    found |= {f"hint {n}": hint for n, hint in enumerate(canvas.hints) if hint is not None}
    found |= {"occlusion": canvas.occlusion, "trust": rendering.trust}
    found |= {"decoded": rendering.decoded, "deformed": rendering.deformed}
    scene = {name: cut(maps, place) for name, maps in found.items()}
    return scene | {"real": cut(batch.driving, row), "mask": cut(masks, row)}


def _together(scenes: Sequence[Scene], device: torch.device) -> Scene:
    return {
        name: torch.cat([scene[name] for scene in scenes])
        .to(device, torch.float32)
        .contiguous(memory_format=torch.channels_last)
        for name in scenes[0]
    }


def _canvas(scenes: Scene) -> Canvas:
    levels = range(sum(name.startswith("feature") for name in scenes))
    features = tuple(scenes[f"feature {level}"] for level in levels)
    return Canvas(features, tuple(scenes.get(f"hint {level}") for level in levels), scenes["occlusion"])
