"""The last stage of a run: the decoder learns to paint mouths and eyes that open.

What a closed mouth or eye hides can't be known, and errors are least for the mean of everything that may be
there, which is a smear. So this stage adds discriminators. Only the decoder learns, on crops around what
opens,
whose features are computed once: a crop takes a tenth of the time that a pair takes the whole network.
"""

import copy
import logging
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mcnet_cli.model import Canvas, Keypoints, MCNet, Rendering
from mcnet_cli.model.generator import Generator
from mcnet_cli.training.augment import Batch, augment
from mcnet_cli.training.config import OpeningConfig, RunConfig
from mcnet_cli.training.dataset import Clip
from mcnet_cli.training.landmark_objective import landmark_keypoints
from mcnet_cli.training.openings import (
    EYES,
    MOUTHS,
    Kind,
    OpeningDiscriminator,
    Openings,
    Outline,
    inside,
    inside_mask,
)
from mcnet_cli.training.sampling import Pair, PairSampler, chance

logger = logging.getLogger(__name__)
See = Callable[[str, int, int, str], None]  # stage, done, total, unit and figures; may raise to end it all
Scene = dict[str, Tensor]  # crops of what the decoder decodes, and of the picture that it should give
Found = dict[str, list[Scene]]  # scenes by the name of their kind of opening
GATHERING, PAINTING = "looking for what opens", "painting mouths and eyes"

# Share of an opening that the decoder paints. Below this too much of it is warped for the decoder to learn.
LEAST_PAINTED = 0.3
# Share of pairs with the most different expressions, as `DataConfig.expressive_share`: more of them open.
EXPRESSIVE_SHARE = 0.8
# Pairs are drawn so many at a time, and in all at most so many for each mouth that is wanted.
PAIRS_PER_BATCH, MAX_PAIRS_PER_OPENING = 8, 10
# Standard deviation of a crop's place around its opening, in pixels at 256².
JITTER_PX = 4.0
# Share of the decoder's moving average that a step keeps.
EMA_DECAY = 0.995
# Longest gradient of a discriminator; that of the R1 penalty can be far longer than the others.
MAX_GRAD_NORM = 2.0
# Every how many steps the R1 penalty is computed, so many times as heavy: it is slow.
R1_EVERY = 4
# Steps over which figures are averaged.
FIGURES_OVER = 50


def learn_openings(
    model: MCNet, clips: Sequence[Clip], config: RunConfig, device: torch.device, see: See
) -> dict[str, float]:
    """Trains the decoder of `model` in place. Returns the number of openings of each kind and mean losses.

    Depends on `model`, the clips and the configuration alone. A kind with too few openings is left out;
    without any, or if a loss isn't finite, `model` stays as it was. Both are logged as warnings. The losses
    are means over the last `FIGURES_OVER` steps.
    """
    setting = config.openings
    found = _scenes(model.eval(), clips, config, device, see)
    for name, scenes in [*found.items()]:
        if len(scenes) < setting.together(name):
            logger.warning("the clips show too few %s that open: they are not trained apart", name)
            del found[name]
    if not found:
        return {}
    torch.manual_seed(config.seed)
    painter, rng = _Painter(model, list(found), config, device), chance(config.seed, 6)
    rows: list[dict[str, float]] = []
    for step in range(setting.alone + setting.steps):
        chosen = {
            name: [scenes[number] for number in rng.integers(len(scenes), size=setting.together(name))]
            for name, scenes in found.items()
        }
        row = painter.update(chosen, step)
        if not all(map(math.isfinite, row.values())):
            logger.warning("openings are not trained apart: at step %d a loss was not finite", step)
            return {}
        rows = [*rows[1 - FIGURES_OVER :], row]
        loss = sum(row["discriminator"] for row in rows) / len(rows)
        see(PAINTING, step + 1, setting.alone + setting.steps, f"steps, discriminator {loss:.3f}")
    if not painter.finish(model):
        logger.warning("openings are not trained apart: a weight was not finite in the end")
        return {}
    whole = [row for row in rows if len(row) == len(rows[-1])]
    means = {name: sum(row[name] for row in whole) / len(whole) for name in rows[-1]}
    return {name: float(len(scenes)) for name, scenes in found.items()} | means


class _Judge:
    """A discriminator and its optimizer."""

    def __init__(self, setting: OpeningConfig, device: torch.device) -> None:
        self.discriminator, self._roughness = OpeningDiscriminator().to(device), setting.roughness
        self._optimizer = torch.optim.Adam(
            self.discriminator.parameters(), setting.discriminator_rate, betas=(0.0, 0.99)
        )

    def learn(self, real: Openings, made: Openings, step: int) -> Tensor:
        """One step; its loss."""
        self._optimizer.zero_grad()
        loss = self.discriminator.loss(real, made)
        rough = self.discriminator.roughness(real) if step % R1_EVERY == 0 else loss.new_zeros(())
        (loss + self._roughness * R1_EVERY / 2 * rough).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.discriminator.parameters(), MAX_GRAD_NORM)
        self._optimizer.step()
        return loss.detach()


class _Painter:
    """Trains a copy of a decoder with discriminators; `finish` puts its moving average into the model."""

    def __init__(self, model: MCNet, kinds: Sequence[str], config: RunConfig, device: torch.device) -> None:
        self.generator, self.setting = copy.deepcopy(model.generator).requires_grad_(False), config.openings
        self.device, self.parameters = device, _learning(self.generator)
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        self._average = [parameter.detach().clone() for parameter in self.parameters]
        self._judges = {kind: _Judge(self.setting, device) for kind in kinds}
        self._optimizer = torch.optim.Adam(self.parameters, self.setting.learning_rate, betas=(0.5, 0.99))

    def update(self, chosen: Mapping[str, Sequence[Scene]], step: int) -> dict[str, float]:
        """One step of the discriminators and, after their first `alone` steps, of the decoder; the losses."""
        setting, learns = self.setting, step >= self.setting.alone
        scenes = _together([scene for kind in chosen.values() for scene in kind], self.device)
        with torch.set_grad_enabled(learns):
            decoded = self.generator.decode(_canvas(scenes))
        result = torch.lerp(decoded, scenes["deformed"], scenes["trust"])
        middle = decoded.shape[-1] // 4
        centre = slice(middle, -middle)
        real = Openings(scenes["real"][..., centre, centre], scenes["mask"][..., centre, centre])
        made = real.with_inside(result[..., centre, centre])
        constant = Openings(made.pictures.detach(), made.masks)
        judged = gan = features = decoded.new_zeros(())
        first = 0
        for kind, ones in chosen.items():
            rows, share = slice(first, first + len(ones)), len(ones) / len(decoded)
            judge, first = self._judges[kind], first + len(ones)
            judged = judged + share * judge.learn(real[rows], constant[rows], step)
            if learns:
                terms = judge.discriminator.generator_losses(real[rows], made[rows])
                gan, features = gan + share * terms[0], features + share * terms[1]
        if not learns:
            return {"discriminator": judged.item()}
        pixel = inside((decoded - scenes["real"]).abs().mean(1, keepdim=True), scenes["mask"]).mean()
        away = (decoded - scenes["decoded"]).abs() * (1 - scenes["mask"])
        still = away[..., centre, centre].mean()  # near a crop's edge the decoder sees zeros beyond it
        total = setting.gan * gan + setting.feature_matching * features
        total = total + setting.pixel * pixel + setting.still * still
        self._optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        decay = min(EMA_DECAY, (1 + step - setting.alone) / (10 + step - setting.alone))
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
    """The decoder's parameters but for those of the residual blocks at the coarsest size."""
    first = generator.config.generator.residual_blocks[0]
    parts = (generator.resblock[first:], generator.up_blocks, generator.join, generator.final)
    return [parameter for part in parts for parameter in part.parameters()]


def _scenes(model: MCNet, clips: Sequence[Clip], config: RunConfig, device: torch.device, see: See) -> Found:
    """Scenes of openings that have to be painted, (1, C, s, s) in half precision on the CPU."""
    setting, size = config.openings, config.model.size
    wanted = {kind: setting.wanted(kind.name) for kind in (MOUTHS, EYES) if setting.wanted(kind.name)}
    found: Found = {kind.name: [] for kind in wanted}
    sampler = PairSampler(
        clips, config.seed, expressive_share=EXPRESSIVE_SHARE, time_flip=config.augment.time_flip
    )
    for first in range(0, setting.count * MAX_PAIRS_PER_OPENING, PAIRS_PER_BATCH):
        short = [kind for kind, count in wanted.items() if len(found[kind.name]) < count]
        if first >= setting.count:  # clips without blinks have none, however many are drawn
            short = [kind for kind in short if found[kind.name]]
        see(GATHERING, sum(map(len, found.values())), sum(wanted.values()), "mouths and eyes")
        if not short:
            break
        draws = [sampler.draw(number) for number in range(first, first + PAIRS_PER_BATCH)]
        for draw in draws:
            if draw.error is not None:
                raise draw.error
        opening = [way_that_opens(draw.pair, short) for draw in draws if draw.pair is not None]
        opening = [(pair, outlines) for pair, outlines in opening if outlines]
        if not opening:
            continue
        batch = augment([pair for pair, _ in opening], size, config.augment, config.seed, device)
        with torch.inference_mode():
            rendering = _rendered(model, batch, config)
            painted = 1 - rendering.trust.float().cpu()
        for row, (_, outlines) in enumerate(opening):
            for kind, outline in outlines:
                mask = inside_mask(batch.driving_points[row], outline, size)
                if (
                    len(found[kind.name]) < wanted[kind]
                    and inside(painted[row : row + 1], mask) > LEAST_PAINTED
                ):
                    found[kind.name].append(_cut(rendering, batch, mask, row, outline, config.seed))
    return found


def way_that_opens(pair: Pair, kinds: Sequence[Kind]) -> tuple[Pair, list[tuple[Kind, Outline]]]:
    """The pair or, where nothing opens in it, the pair the other way round; and what opens."""
    for way in (pair, pair.reversed()):
        points, side = (way.source_points, way.driving_points), pair.driving.shape[0]
        opened = [(kind, outline) for kind in kinds for outline in kind.opened(*points, side)]
        if opened:
            break
    return way, opened


def _rendered(model: MCNet, batch: Batch, config: RunConfig) -> Rendering:
    source, driving = (
        landmark_keypoints(points, batch.mirrored, config.model.keypoints.landmarks).to(batch.source.device)
        for points in (batch.source_points, batch.driving_points)
    )
    pictures = batch.source.contiguous(memory_format=torch.channels_last)
    state = model.encode_source(pictures, Keypoints(source))
    rendering: Rendering = model(state, Keypoints(driving))
    return rendering


def _cut(rendering: Rendering, batch: Batch, mask: Tensor, row: int, outline: Outline, seed: int) -> Scene:
    """The half of a picture around one of its openings, on the grid of the coarsest features."""
    size, canvas = mask.shape[-1], rendering.canvas
    cell = size // canvas.features[0].shape[-1]
    side = size // 2 // cell * cell
    middle = (batch.driving_points[row, list(outline)].mean(0).numpy() + 1) * (size - 1) / 2
    shift = chance(seed, int(batch.numbers[row]), 7, outline[0]).normal(0, JITTER_PX * size / 256, 2)
    corner = np.rint((middle + shift - side / 2) / cell)
    corner = (np.clip(corner, 0, (size - side) // cell) * cell).astype(int)

    def cut(maps: Tensor, number: int = row) -> Tensor:
        share = size // maps.shape[-1]
        (left, top), reach = corner // share, side // share
        part = maps[number : number + 1, :, top : top + reach, left : left + reach]
        return part.to("cpu", torch.float16).clone()

    found = {f"feature {n}": feature for n, feature in enumerate(canvas.features)}
    found |= {f"hint {n}": hint for n, hint in enumerate(canvas.hints) if hint is not None}
    found |= {"occlusion": canvas.occlusion, "trust": rendering.trust, "real": batch.driving}
    found |= {"decoded": rendering.decoded, "deformed": rendering.deformed}
    return {name: cut(maps) for name, maps in found.items()} | {"mask": cut(mask, 0)}


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
