"""Figures over clips, for people and for programs."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mcnet_cli import __version__
from mcnet_cli.errors import shown
from mcnet_cli.evaluation.request import FIGURES, RECONSTRUCTION, EvaluationRequest

RESAMPLES, SEED, CONFIDENCE = 2000, 0, 0.95
LONGEST_TABLE = 40
JSON_FILE, CSV_FILE, SHEET_FILE = "report.json", "report.csv", "sheet.png"


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
class EvaluationReport:
    """A finished evaluation.

    landmarks: what `akd` compares. keypoints: where the network's keypoints came from. skipped: metrics that
    were not measured, with the reason and what to do. size: side in pixels at which pictures are compared.
    """

    request: EvaluationRequest
    weights: Path
    device: str
    precision: str
    why: str
    size: int
    landmarks: str
    keypoints: str
    results: tuple[ClipResult, ...]
    failed: tuple[Failed, ...]
    skipped: Mapping[str, tuple[str, str | None]]
    seconds: float

    @property
    def summaries(self) -> dict[str, Summary]:
        """Every figure over the clips in which it could be measured."""
        names = self.results[0].figures
        return {name: summarized([result.figures[name] for result in self.results]) for name in names}

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints and report.json holds; null for what is not a finite number."""
        request = self.request
        return {
            "version": __version__,
            "protocol": request.protocol,
            "clips_folder": str(request.clips),
            "weights": str(self.weights),
            "device": self.device,
            "precision": self.precision,
            "size": self.size,
            "every": request.every,
            "max_frames": request.max_frames,
            "keypoints": self.keypoints,
            "landmarks": self.landmarks,
            "metrics": {name: self._metric(name, summary) for name, summary in self.summaries.items()},
            "skipped": {name: {"reason": why, "hint": hint} for name, (why, hint) in self.skipped.items()},
            "interval": f"{CONFIDENCE:.0%} of {RESAMPLES} bootstrap means over clips, seed {SEED}",
            "clips": [
                {
                    "source": result.source,
                    "driving": result.driving,
                    "frames": result.frames,
                    "no_face": result.no_face,
                    "faceless_results": result.faceless,
                    "damaged": result.damaged,
                    **{name: _finite(value) for name, value in result.figures.items()},
                }
                for result in self.results
            ],
            "failed": [{"source": f.source, "driving": f.driving, "reason": f.reason} for f in self.failed],
            "output": None if request.output is None else str(request.output),
            "seconds": round(self.seconds, 3),
        }

    def as_csv(self) -> str:
        """One row a clip, and the means."""
        names = [*self.results[0].figures]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["source", "driving", "frames", *names])
        for result in self.results:
            figures = [_cell(result.figures[name]) for name in names]
            writer.writerow([result.source, result.driving, result.frames, *figures])
        frames = sum(result.frames for result in self.results)
        writer.writerow(["mean", "", frames, *(_cell(s.mean) for s in self.summaries.values())])
        return text.getvalue()

    def as_text(self) -> str:
        """A table of the clips if they are few, the means, and what is missing."""
        skipped = [
            f"skipped {name}: {why}" + (f"; {hint}" if hint else "")
            for name, (why, hint) in self.skipped.items()
        ]
        failed = [f"left out: {pair.reason}" for pair in self.failed]
        sums = f"{len(self.results)} clips, {sum(r.frames for r in self.results)} frames"
        if faceless := sum(result.faceless for result in self.results):
            sums += f", {faceless} made frames without a face"
        lines = [
            self._table(),
            *skipped,
            *failed,
            f"{sums}, {self.seconds:.1f} s on {self.device} in {self.precision} ({self.why})",
            f"keypoints: {self.keypoints}"
            + (f"; akd: {self.landmarks}" if "akd" in self.results[0].figures else ""),
        ]
        if self.request.output is not None:
            lines.append(shown(self.request.output / JSON_FILE))
        return "\n".join(lines)

    def _metric(self, name: str, summary: Summary) -> dict[str, Any]:
        return {
            "mean": _finite(summary.mean),
            "low": summary.low,
            "high": summary.high,
            "clips": summary.clips,
            "better": "more" if FIGURES[name].better > 0 else "less",
            "unit": FIGURES[name].unit,
        }

    def _table(self) -> str:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        summaries = self.summaries
        table = Table(box=box.SIMPLE_HEAD, show_footer=False)
        table.add_column("clip", no_wrap=True)
        for name in ("frames", *summaries):
            table.add_column(name.replace("_", " "), justify="right", no_wrap=True)
        for result in self.results if len(self.results) <= LONGEST_TABLE else ():
            name = shown(result.driving)
            if self.request.protocol != RECONSTRUCTION:
                name = f"{name} on {shown(result.source)}"
            figures = (_number(result.figures[figure]) for figure in summaries)
            table.add_row(Text(name), str(result.frames), *figures)
        table.add_section()
        table.add_row("mean", "", *(_number(summary.mean) for summary in summaries.values()))
        bounds = [(s.low, s.high) for s in summaries.values()]
        for label, row in zip(("95 % from", "95 % to"), zip(*bounds, strict=True), strict=True):
            table.add_row(label, "", *("" if value is None else _number(value) for value in row))
        text = io.StringIO()
        Console(file=text, width=10_000, color_system=None).print(table)
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines() if line.strip())


def write_report(folder: Path, report: EvaluationReport) -> None:
    """report.json and report.csv."""
    (folder / JSON_FILE).write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8")
    (folder / CSV_FILE).write_text(report.as_csv(), encoding="utf-8", errors="backslashreplace")


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


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"
