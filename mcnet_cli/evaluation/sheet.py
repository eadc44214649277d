"""A sheet to look at: the best, the median and the worst clip; source, driving, result."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mcnet_cli.animation.pictures import Picture, side_by_side
from mcnet_cli.evaluation.report import SHEET_FILE, ClipResult
from mcnet_cli.evaluation.request import COPY, FIGURES
from mcnet_cli.media import read_image, write_image

LABEL_PX, BACKGROUND, INK = 18, 24, (230, 230, 230)
LABELS = ("best", "median", "worst")


class Strips:
    """One strip of pictures a clip, kept on disk until it is known which of them matter."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "strips"
        self._folder.mkdir()

    def keep(self, number: int, source: Picture, driving: Picture, result: Picture) -> None:
        """Of clip `number`."""
        write_image(self._path(number), side_by_side(source, driving, result), overwrite=True)

    def write_sheet(self, folder: Path, results: Sequence[ClipResult]) -> None:
        """Writes the sheet for `results`, whose strips were kept by their places here; forgets them all."""
        figure = ranking(results)
        rows = []
        for label, number in zip(LABELS, chosen(results, figure), strict=True):
            strip, result = read_image(self._path(number)), results[number]
            text = f"{label}: {result.driving}, {figure.replace('_', ' ')} {result.figures[figure]:.4g}"
            rows += [_label(text, strip.shape[1]), strip]
        write_image(folder / SHEET_FILE, np.concatenate(rows))
        for path in self._folder.iterdir():
            path.unlink()
        self._folder.rmdir()

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.png"


def ranking(results: Sequence[ClipResult]) -> str:
    """The figure that tells good clips from bad ones: the error over standing still, else the first one."""
    figures = results[0].figures
    return COPY if COPY in figures else next(iter(figures))


def chosen(results: Sequence[ClipResult], figure: str) -> tuple[int, int, int]:
    """The places of the best, the median and the worst clip; an unknown figure is worse than any."""

    def badness(number: int) -> float:
        value = results[number].figures[figure]
        return math.inf if math.isnan(value) else -FIGURES[figure].better * value

    order = sorted(range(len(results)), key=badness)
    return order[0], order[(len(order) - 1) // 2], order[-1]


def _label(text: str, width: int) -> Picture:
    from PIL import Image, ImageDraw

    label = Image.new("RGB", (width, LABEL_PX), (BACKGROUND,) * 3)
    printable = text.encode("ascii", "replace").decode()
    ImageDraw.Draw(label).text((4, 3), printable, fill=INK)
    return np.asarray(label, np.uint8)
