"""The report's folder: figures as JSON, CSV and Markdown, a page and a sheet of pictures to look at.

The folder is complete under its name, or not there. The page needs nothing from elsewhere; `page.html` is its
template.
"""

import base64
import contextlib
import functools
import io
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined

from mcnet_cli.arrays import Picture, resized, side_by_side
from mcnet_cli.errors import UsageError, shown
from mcnet_cli.evaluation.report import ClipResult, EvaluationReport, Row, figures_of, number
from mcnet_cli.evaluation.request import ANIMATION, FIGURES, RECONSTRUCTION, REENACTMENT, EvaluationRequest
from mcnet_cli.files import partial_name, sweep_partials, system_failure
from mcnet_cli.media import read_image, write_image
from mcnet_cli.media.pictures import caption
from mcnet_cli.system import sync_folder

JSON_FILE, CSV_FILE, MARKDOWN_FILE = "report.json", "report.csv", "report.md"
PAGE_FILE, SHEET_FILE = "report.html", "sheet.png"
FILES = {JSON_FILE, CSV_FILE, MARKDOWN_FILE, PAGE_FILE, SHEET_FILE}
LABEL_PX = 18
LABELS = ("best", "median", "worst")
STRIP_PX, QUALITY = 192, 80  # height and quality of the pictures in the page
ARROWS = {"more": "↑", "less": "↓", "one": "→ 1"}
EXPLAINED = {
    RECONSTRUCTION: "Each clip's first frame is moved by its other frames, and compared with them.",
    REENACTMENT: "A clip's first frame is moved by another person's clip.",
    ANIMATION: "Portraits are moved by clips, both cropped as mcnet animate does.",
}


@dataclass(frozen=True)
class Strips:
    """One strip of pictures a pair and row, kept on disk until it is known which of them matter.

    report: the folder that they are kept in.
    """

    report: Path

    def __post_init__(self) -> None:
        self._folder.mkdir()

    @property
    def _folder(self) -> Path:
        return self.report / "strips"

    def keep(self, row: int, clip: int, source: Picture, driving: Picture, result: Picture) -> None:
        """Of the `clip`-th pair of the `row`-th row."""
        strip = side_by_side(source, driving, result)
        write_image(self._folder / f"{row}-{clip}.png", strip, overwrite=True)

    def renumber(self, row: int, kept: Sequence[int]) -> None:
        """Counts a row's strips anew from 0. kept: the ascending numbers of those that there are."""
        for clip, former in enumerate(kept):
            (self._folder / f"{row}-{former}.png").replace(self._folder / f"{row}-{clip}.png")

    def read(self, row: int, clip: int) -> Picture:
        """(H, W, 3): source, driving and result side by side."""
        return read_image(self._folder / f"{row}-{clip}.png")

    def forget(self) -> None:
        """Removes them all."""
        for path in self._folder.iterdir():
            path.unlink()
        self._folder.rmdir()


def ranking(results: Sequence[ClipResult]) -> str:
    """The figure that tells good clips from bad ones: the error over standing still, else the first one."""
    figures = results[0].figures
    return "error_over_copy" if "error_over_copy" in figures else next(iter(figures))


def chosen(results: Sequence[ClipResult], figure: str) -> tuple[int, int, int]:
    """The places of the best, the median and the worst clip; an unknown figure is worse than any."""
    order = sorted(range(len(results)), key=lambda n: FIGURES[figure].badness(results[n].figures[figure]))
    return order[0], order[(len(order) - 1) // 2], order[-1]


def write_report(folder: Path, report: EvaluationReport, strips: Strips) -> None:
    """All files of a report; `strips` are forgotten."""
    texts = {
        JSON_FILE: json.dumps(report.as_json(), indent=1) + "\n",
        CSV_FILE: report.as_csv(),
        MARKDOWN_FILE: report.as_markdown() + "\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
    write_page(folder / PAGE_FILE, report, strips)
    write_sheet(folder / SHEET_FILE, report.first.results, strips)
    strips.forget()


def write_sheet(path: Path, results: Sequence[ClipResult], strips: Strips) -> None:
    """The best, the median and the worst clip of the first row as one picture."""
    figure = ranking(results)
    rows = []
    for label, clip in zip(LABELS, chosen(results, figure), strict=True):
        strip, result = strips.read(0, clip), results[clip]
        text = f"{label}: {result.driving}, {FIGURES[figure].title} {result.figures[figure]:.4g}"
        rows += [caption(text, strip.shape[1], LABEL_PX), strip]
    width = max(row.shape[1] for row in rows)
    write_image(path, np.concatenate([np.pad(r, ((0, 0), (0, width - r.shape[1]), (0, 0))) for r in rows]))


@dataclass(frozen=True, slots=True)
class PageStrip:
    """A strip in the page. It is there once, as a background that its CSS class names."""

    css_class: str
    data_url: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ShownClip:
    """What the page shows of one of the best, median and worst clips."""

    label: str
    result: ClipResult
    strip: PageStrip


@dataclass(frozen=True, slots=True)
class Section:
    """A protocol's part of the page. compared: rows with weights and their shown clips, by figure."""

    protocol: str
    rows: Sequence[Row]
    figures: Sequence[str]
    ranking: str
    compared: Mapping[str, Sequence[tuple[Row, Sequence[ShownClip]]]]

    def wins(self, row: Row, figure: str) -> bool:
        """Whether a row has the best mean of all weights, if there is something to compare."""
        if row.weights is None or len(self.rows) <= 2:
            return False
        means = [other.summaries[figure].mean for other in self.rows if other.weights is not None]
        bad = FIGURES[figure].badness
        return bad(row.summaries[figure].mean) == min(map(bad, means))


def write_page(path: Path, report: EvaluationReport, strips: Strips) -> None:
    """report.html: summaries, pictures of the best, median and worst clips by each figure, all clips."""

    @functools.cache
    def in_page(row: int, clip: int) -> PageStrip:
        picture = strips.read(row, clip)
        height, width = picture.shape[:2]
        used.append(PageStrip(f"s{row}-{clip}", _data_url(picture), width, height))
        return used[-1]

    used: list[PageStrip] = []
    sections = [_section(report, protocol, in_page) for protocol in report.request.protocols]
    every = report.request.every
    facts = [f"{report.request.clips}", "every frame" if every == 1 else f"every {every}th frame"]
    facts += [f"{report.request.settings}"] if report.request.settings.given else []
    environment = Environment(
        autoescape=True, finalize=_printable, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = lambda value: number(value, unknown="–")
    environment.filters["exact"] = lambda value: "" if math.isnan(value) else f"{value:.9g}"
    template = environment.from_string((files(__package__) / "page.html").read_text(encoding="utf-8"))
    page = template.render(
        ARROWS=ARROWS,
        EXPLAINED=EXPLAINED,
        FIGURES=FIGURES,
        names=" · ".join(dict.fromkeys(row.name for row in report.rows if row.weights is not None)),
        facts="; ".join([*facts, f"{report.device} in {report.precision}, {report.seconds:.0f} s"]),
        strips=used,
        sections=sections,
        report=report,
        failed=list(dict.fromkeys(pair.reason for row in report.rows for pair in row.failed)),
        figures=figures_of(report.rows),
    )
    path.write_text(page, encoding="utf-8")


def _section(report: EvaluationReport, protocol: str, in_page: Callable[[int, int], PageStrip]) -> Section:
    """One protocol's part of the page."""
    rows = report.of(protocol)
    measured = enumerate(report.rows)
    seen = [(place, row) for place, row in measured if row.protocol == protocol and row.weights is not None]
    compared = {
        figure: [
            (
                row,
                [
                    ShownClip(label, row.results[clip], in_page(place, clip))
                    for label, clip in zip(LABELS, chosen(row.results, figure), strict=True)
                ],
            )
            for place, row in seen
        ]
        for figure in figures_of(rows)
        if any(not math.isnan(row.summaries[figure].mean) for _, row in seen)
    }
    return Section(protocol, rows, figures_of(rows), ranking(seen[0][1].results), compared)


def _printable(value: object) -> object:
    """What the template shows of a value: control characters of names are escaped."""
    return shown(value) if type(value) is str else value


def _data_url(strip: Picture) -> str:
    from PIL import Image

    height, width = strip.shape[:2]
    if height > STRIP_PX:
        strip = resized(strip, round(width * STRIP_PX / height), STRIP_PX)
    file = io.BytesIO()
    Image.fromarray(strip).save(file, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def check_outside(request: EvaluationRequest) -> None:
    """UsageError for a report among the clips or portraits, where the next run would take it for one."""
    assert request.output is not None
    for folder in (request.clips, request.portraits):
        if folder is not None and request.output.resolve().is_relative_to(folder.resolve()):
            what = "clips" if folder == request.clips else "portraits"
            raise UsageError(
                f"the output {shown(request.output)} lies among the {what}", hint="choose another -o"
            )


def check_folder(target: Path, *, overwrite: bool) -> None:
    """UsageError if `target` may not become a report: it is anything else, or one without `overwrite`."""
    if not target.parent.is_dir():
        raise UsageError(f"can't write {shown(target)}: its folder doesn't exist", hint="make it first")
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError(f"the output {shown(target)} is not a folder", hint="choose another -o")
    others = {entry.name for entry in os.scandir(target)} - FILES
    if others:  # replacing it would remove them
        raise UsageError(
            f"{shown(target)} exists and holds more than a report: {shown(min(others))}",
            hint="choose another -o",
        )
    if not overwrite:
        raise UsageError(
            f"{shown(target)} exists already", hint="choose another -o, or replace it with --overwrite"
        )


@contextlib.contextmanager
def atomic_folder(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yields a temporary folder beside `target` and renames it at the end; on any exception it is removed.

    An old report leaves its name only when the new one is whole.
    """
    target = target.resolve()  # `.` and `..` are no names to rename to
    check_folder(target, overwrite=overwrite)
    sweep_partials(target)
    part, old = partial_name(target), partial_name(target)
    try:
        with _writing(target):
            part.mkdir()
        yield part
        check_folder(target, overwrite=overwrite)
        with _writing(target):
            _exchange(part, target, old)
    finally:
        for folder in (part, old):
            shutil.rmtree(folder, ignore_errors=True)


def _exchange(part: Path, target: Path, old: Path) -> None:
    """Gives `part` the name `target`, and what was there the name `old`."""
    if target.exists():
        target.rename(old)
    try:
        part.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    sync_folder(target.parent)


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise system_failure(error, target) from error
