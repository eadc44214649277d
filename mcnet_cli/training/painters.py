"""The detail painters of a network learn one after the other, and what enlarges their paint after them."""

import logging
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from mcnet_cli.devices import Compute
from mcnet_cli.metrics import PerceptualDistance
from mcnet_cli.model import MCNet
from mcnet_cli.model.detail_paint import Painted
from mcnet_cli.model.detail_painter import DetailPainter
from mcnet_cli.progress import OnProgress
from mcnet_cli.training.config import RunConfig
from mcnet_cli.training.dataset import Clip
from mcnet_cli.training.objective_config import PainterTraining
from mcnet_cli.training.painter_batch import PainterBatch
from mcnet_cli.training.painter_data import FacePart, collect, taught_parts
from mcnet_cli.training.painter_squares import PainterData
from mcnet_cli.training.painter_stage import PainterStage, absolute

# Pixels of a clip a pixel of a square from which on its mouth teaches the enlarger: smaller ones are soft.
LARGE = 0.8
# Of what is enlarged from paint, means of so many pixels along both sides are compared: its teeth are others.
COMPARED_PX = 4

logger = logging.getLogger(__name__)


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
        data = PainterData.load(kept)
        found[part.name] = float(len(data))
        if config.painter.part != "enlarger":
            stage = PainterStage(part, painter, config, compute, perceptual, folder)
            found |= stage.taught(painter, data, on_progress)
        if painter.enlarger is not None and config.painter.enlarger_steps:
            large = data.pairs((data.fineness >= LARGE).nonzero()[:, 0])
            if not len(large):
                logger.warning("no clip shows %s that are large enough to teach an enlarger", part.name)
                continue
            enlarging = EnlargerStage(part, painter, config, compute, perceptual, folder)
            found |= enlarging.taught(painter.enlarger, large, on_progress)
    return found


class EnlargerStage(PainterStage):
    """The training of what doubles a painter's paint, which stays as it is."""

    def _learning(
        self, part: FacePart, painter: DetailPainter, setting: PainterTraining
    ) -> tuple[str, int, nn.Module]:
        assert painter.enlarger is not None
        return f"large {part.name}", setting.enlarger_steps, painter.enlarger

    def _paint(self, batch: PainterBatch) -> Painted:
        return batch.enlarged(self.given, self.painter)

    def _pixel(self, result: Tensor, paint: Painted, batch: PainterBatch) -> Tensor:
        """Mean absolute error inside lips, of means where the result is enlarged paint."""
        errors = (result - batch.real) * batch.inside
        painted, real = absolute(errors[::2], COMPARED_PX), absolute(errors[1::2])
        return (painted + real) / batch.inside.sum().clamp_min(1)
