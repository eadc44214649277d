"""Figures over clips, for people and for programs: as an object, as JSON, CSV, text and Markdown."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mcnet_cli import __version__
from mcnet_cli.errors import counted, shown
from mcnet_cli.evaluation.request import FIGURES, REENACTMENT, EvaluationRequest, Settings

RESAMPLES, SEED, CONFIDENCE = 2000, 0, 0.95
LONGEST_TABLE = 40  # clips that are listed in text
FEW_ROWS = 3  # up to so many, Markdown has figures as rows, and weights as columns
COPY = "copy"


@dataclass(frozen=True, slots=True)
class ClipResult:
    """One pair's figures; source and driving are one clip in a reconstruction.

    frames: measured. no_face: of the driving's frames that were read. faceless: measured frames whose result
    shows no face where the driving does. figures: NaN where one could not be measured.
    """

    source: str
    driving: str
    frames: int
    no_face: int
    faceless: int
    damaged: bool
    figures: Mapping[str, float]

    @property
    def name(self) -> str:
        """What moved what."""
        return self.driving if self.source == self.driving else f"{self.driving} on {self.source}"

    def as_json(self) -> dict[str, Any]:
        """JSON values, null for what is no finite number."""
        return {
            "source": self.source,
            "driving": self.driving,
            "frames": self.frames,
            "no_face": self.no_face,
            "faceless_results": self.faceless,
            "damaged": self.damaged,
            **{name: _finite(value) for name, value in self.figures.items()},
        }


@dataclass(frozen=True, slots=True)
class Failed:
    """A pair that could not be used, and why."""

    source: str
    driving: str
    reason: str


@dataclass(frozen=True, slots=True)
class Summary:
    """A figure over clips, each counting once. low, high: its 95 % interval, None if unknown."""

    mean: float
    low: float | None
    high: float | None
    clips: int


@dataclass(frozen=True, slots=True)
class WeightsFacts:
    """parameters: how many. steps, samples_per_s: of the training run whose log lies beside, None without."""

    parameters: int
    steps: int | None = None
    samples_per_s: float | None = None


@dataclass(frozen=True)
class Row:
    """One row of the table: a weights file, by the request's settings or a variation of them, in a protocol.

    name: for people. weights, facts: None for the copy, the source shown unmoved. size: side in pixels of the
    pictures that are compared. keypoints: where the network's come from.
    """

    protocol: str
    name: str
    weights: Path | None
    settings: Settings
    size: int
    keypoints: str
    facts: WeightsFacts | None
    results: tuple[ClipResult, ...]
    failed: tuple[Failed, ...]

    @property
    def frames(self) -> int:
        """Measured in all clips."""
        return sum(result.frames for result in self.results)

    @property
    def unusable(self) -> set[tuple[str, str, str]]:
        """Protocol, source and driving of pairs that could not be used, or only in part."""
        failed = {(self.protocol, pair.source, pair.driving) for pair in self.failed}
        return failed | {(self.protocol, r.source, r.driving) for r in self.results if r.damaged}

    @cached_property
    def summaries(self) -> dict[str, Summary]:
        """Every figure over the clips in which it could be measured."""
        names = self.results[0].figures
        return {name: summarized([result.figures[name] for result in self.results]) for name in names}

    def as_json(self) -> dict[str, Any]:
        """JSON values, null for what is unknown."""
        facts = self.facts
        return {
            "protocol": self.protocol,
            "row": self.name,
            "weights": None if self.weights is None else str(self.weights),
            "parameters": facts and facts.parameters,
            "steps": facts and facts.steps,
            "samples_per_s": facts and facts.samples_per_s,
            "settings": self.settings.given,
            "size": self.size,
            "keypoints": self.keypoints,
            "metrics": {name: _metric(name, summary) for name, summary in self.summaries.items()},
            "clips": [result.as_json() for result in self.results],
            "failed": [asdict(pair) for pair in self.failed],
        }


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """A finished evaluation.

    landmarks: what `akd` compares. rows: of each protocol the weights in order, each with its variations, and
    the copy where made frames are compared with real ones. skipped: metrics that were not measured, with the
    reason and what to do.
    """

    request: EvaluationRequest
    device: str
    precision: str
    why: str
    landmarks: str
    rows: tuple[Row, ...]
    skipped: Mapping[str, tuple[str, str | None]]
    seconds: float

    @property
    def first(self) -> Row:
        """The first weights in the first protocol, without variation."""
        return self.rows[0]

    def of(self, protocol: str) -> list[Row]:
        """The rows of a protocol."""
        return [row for row in self.rows if row.protocol == protocol]

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints and report.json holds; the first row's figures lie at the top."""
        first, *others = (row.as_json() for row in self.rows)
        request = self.request
        return {
            "version": __version__,
            "clips_folder": str(request.clips),
            "portraits_folder": None if request.portraits is None else str(request.portraits),
            "device": self.device,
            "precision": self.precision,
            "every": request.every,
            "max_frames": request.max_frames,
            "landmarks": self.landmarks,
            **first,
            "other_rows": others,
            "skipped": {name: {"reason": why, "hint": hint} for name, (why, hint) in self.skipped.items()},
            "interval": f"{CONFIDENCE:.0%} of {RESAMPLES} bootstrap means over clips, seed {SEED}",
            "output": None if request.output is None else str(request.output),
            "seconds": round(self.seconds, 3),
        }

    def as_csv(self) -> str:
        """A line a clip for each row, and the means."""
        names = figures_of(self.rows)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["protocol", "row", "source", "driving", "frames", *names])
        for row in self.rows:
            means = {name: summary.mean for name, summary in row.summaries.items()}
            lines = [(r.source, r.driving, r.frames, r.figures) for r in row.results]
            for source, driving, frames, figures in [*lines, ("mean", "", row.frames, means)]:
                values = (figures.get(name, math.nan) for name in names)
                cells = ("" if math.isnan(value) else f"{value:.6g}" for value in values)
                writer.writerow([row.protocol, row.name, source, driving, frames, *cells])
        return text.getvalue()

    def as_text(self) -> str:
        """A table for each protocol, and what is missing."""
        lines = []
        for protocol in self.request.protocols:
            if len(self.request.protocols) > 1:
                lines.append(protocol)
            lines.append(text_table(self.of(protocol)))
        for name, (why, hint) in self.skipped.items():
            lines.append(f"skipped {name}: {why}" + (f"; {hint}" if hint else ""))
        lines += dict.fromkeys(f"left out: {pair.reason}" for row in self.rows for pair in row.failed)
        sums = f"{counted(len(self.first.results), 'clip')}, {counted(self.first.frames, 'frame')}"
        if faceless := sum(result.faceless for result in self.first.results):
            sums += f", {faceless} made frames without a face"
        lines += [
            f"{sums}, {self.seconds:.1f} s on {self.device} in {self.precision} ({self.why})",
            f"keypoints: {self.first.keypoints}"
            + (f"; akd: {self.landmarks}" if "akd" in self.first.results[0].figures else ""),
        ]
        if self.request.settings.given:
            lines.append(f"set: {self.request.settings}")
        if self.request.output is not None:
            lines.append(shown(self.request.output))
        return "\n".join(lines)

    def as_markdown(self) -> str:
        """The means as a table for a weights' card: figures as rows, or as columns if there are many rows.

        Rows of several protocols with the same name are joined; of several weights it says what they cost.
        """
        named: dict[str, list[Row]] = {}
        for row in self.rows:
            named.setdefault(row.name, []).append(row)
        columns = [
            (protocol, figure)
            for protocol in self.request.protocols
            for figure in figures_of(self.of(protocol))
        ]
        titles = [self._title(*column) for column in columns]
        cells = {
            name: [_mean(rows, protocol, figure) for protocol, figure in columns]
            for name, rows in named.items()
        }
        if len({row.weights for row in self.rows} - {None}) > 1:
            costs = {name: _costs(rows[0].facts) for name, rows in named.items()}
            kept = [title for title in COSTS if any(cost[title] for cost in costs.values())]
            titles = [*kept, *titles]
            cells = {n: [*(costs[n][title] for title in kept), *values] for n, values in cells.items()}
        table = [[name, *values] for name, values in cells.items()]
        if len(table) <= FEW_ROWS:
            return markdown_table([["figure", *cells], *map(list, zip(titles, *cells.values(), strict=True))])
        return markdown_table([["", *titles], *table])

    def _title(self, protocol: str, figure: str) -> str:
        title = FIGURES[figure].title
        joined = protocol == REENACTMENT and len(self.request.protocols) > 1
        return f"{title} across people" if joined else title


COSTS = ("parameters, M", "steps", "samples/s")


def _costs(facts: WeightsFacts | None) -> dict[str, str]:
    """What weights take to train and to keep, as a card has it; empty where unknown."""
    if facts is None:
        return dict.fromkeys(COSTS, "")
    steps = "" if facts.steps is None else str(facts.steps)
    rate = "" if facts.samples_per_s is None else f"{facts.samples_per_s:.2f}"
    return dict(zip(COSTS, (f"{facts.parameters / 1e6:.3f}", steps, rate), strict=True))


def _mean(rows: Sequence[Row], protocol: str, figure: str) -> str:
    for row in rows:
        if row.protocol == protocol and figure in row.summaries:
            value = row.summaries[figure].mean
            return "" if math.isnan(value) else f"{value:.3f}"
    return ""


def figures_of(rows: Sequence[Row]) -> list[str]:
    """Every figure that one of them has, in the order of `FIGURES`."""
    return [name for name in FIGURES if any(name in row.results[0].figures for row in rows)]


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """A table whose first line is its head; what Markdown would take for its own is escaped."""
    rows = [[re.sub(r"([\\|<`*\[])", r"\\\1", shown(cell)) for cell in line] for line in lines]
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(lines[0]), *body])


def text_table(rows: Sequence[Row]) -> str:
    """Means with intervals; before them the clips, if there is one row beside the copy and they are few."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    names = figures_of(rows)
    table = Table(box=box.SIMPLE_HEAD, show_footer=False)
    table.add_column("clip" if len(rows) == 1 else "", no_wrap=True)
    for title in ("clips", "frames", *(FIGURES[name].title for name in names)):
        table.add_column(title, justify="right", no_wrap=True)
    alone = [row for row in rows if row.weights is not None]
    if len(alone) == 1 and len(alone[0].results) <= LONGEST_TABLE:
        for result in alone[0].results:
            figures = (number(result.figures[name]) for name in names)
            table.add_row(Text(shown(result.name)), "", str(result.frames), *figures)
        table.add_section()
    for row in rows:
        summaries = [row.summaries.get(name) for name in names]
        means = ("" if s is None else number(s.mean) for s in summaries)
        table.add_row(Text(shown(row.name)), str(len(row.results)), str(row.frames), *means)
        for label, bound in (("  95 % from", "low"), ("  95 % to", "high")):
            bounds = (getattr(summary, bound, None) for summary in summaries)
            table.add_row(label, "", "", *("" if value is None else number(value) for value in bounds))
    text = io.StringIO()
    Console(file=text, width=10_000, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines() if line.strip())


def summarized(values: Sequence[float]) -> Summary:
    """Mean and bootstrap interval over clips (their frames are too much alike to count), NaN left out."""
    known = np.array([value for value in values if not math.isnan(value)])
    if not len(known):
        return Summary(math.nan, None, None, 0)
    mean = float(known.mean())
    if len(known) < 2 or not np.isfinite(known).all():
        return Summary(mean, None, None, len(known))
    rng = np.random.default_rng(SEED)
    means = [known[rng.integers(0, len(known), len(known))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    return Summary(mean, low, high, len(known))


def _metric(name: str, summary: Summary) -> dict[str, Any]:
    meaning = {"better": FIGURES[name].better, "unit": FIGURES[name].unit}
    return asdict(summary) | {"mean": _finite(summary.mean)} | meaning


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def number(value: float, unknown: str = "-") -> str:
    """A figure as tables show it; `unknown` for NaN."""
    return unknown if math.isnan(value) else f"{value:.4g}"
