"""The report to look at: one page without anything from elsewhere, and a sheet of pictures."""

import base64
import html
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.arrays import resized, side_by_side
from mcnet_cli.errors import shown
from mcnet_cli.evaluation.report import ClipResult, EvaluationReport, Row, Summary
from mcnet_cli.evaluation.request import ANIMATION, FIGURES, RECONSTRUCTION, REENACTMENT
from mcnet_cli.media import read_image, write_image

Picture = NDArray[np.uint8]

LABEL_PX, BACKGROUND, INK = 18, 24, (230, 230, 230)
LABELS = ("best", "median", "worst")
STRIP_PX, QUALITY = 192, 80  # height and quality of the pictures in the page
ARROWS = {"more": "↑", "less": "↓", "one": "→ 1"}
EXPLAINED = {
    RECONSTRUCTION: "Each clip's first frame is moved by its other frames, and compared with them.",
    REENACTMENT: "A clip's first frame is moved by another person's clip.",
    ANIMATION: "Portraits are moved by clips, both cropped as mcnet animate does.",
}


class Strips:
    """One strip of pictures a clip and row, kept on disk until it is known which of them matter."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "strips"
        self._folder.mkdir()

    def keep(self, row: int, clip: int, source: Picture, driving: Picture, result: Picture) -> None:
        """Of the `clip`-th result of the `row`-th row."""
        strip = side_by_side(source, driving, result)
        write_image(self._folder / f"{row}-{clip}.png", strip, overwrite=True)

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


def write_sheet(path: Path, results: Sequence[ClipResult], strips: Strips) -> None:
    """The best, the median and the worst clip of the first row as one picture."""
    figure = ranking(results)
    rows = []
    for label, number in zip(LABELS, chosen(results, figure), strict=True):
        strip, result = strips.read(0, number), results[number]
        text = f"{label}: {result.driving}, {FIGURES[figure].title} {result.figures[figure]:.4g}"
        rows += [_label(text, strip.shape[1]), strip]
    width = max(row.shape[1] for row in rows)
    write_image(path, np.concatenate([np.pad(r, ((0, 0), (0, width - r.shape[1]), (0, 0))) for r in rows]))


def write_page(path: Path, report: EvaluationReport, strips: Strips) -> None:
    """report.html: summaries, pictures of the best, median and worst clips by each figure, all clips."""
    pictures = _Pictures(strips)
    sections = [
        _section(
            protocol, [(n, row) for n, row in enumerate(report.rows) if row.protocol == protocol], pictures
        )
        for protocol in report.request.protocols
    ]
    names = " · ".join(dict.fromkeys(row.name for row in report.rows if row.weights is not None))
    facts = f"{report.device} in {report.precision}, {report.seconds:.0f} s"
    if report.request.settings.given:
        facts = f"{report.request.settings}; {facts}"
    page = PAGE.format(
        title=_text(f"mcnet evaluate: {names}"),
        names=_text(names),
        facts=_text(f"{report.request.clips}; every {_ordinal(report.request.every)} frame; {facts}"),
        styles=STYLES + pictures.styles(),
        sections="\n".join(sections),
        missing=_missing(report),
        meanings=_meanings(report),
        script=SCRIPT,
    )
    path.write_text(page, encoding="utf-8")


class _Pictures:
    """The strips that a page shows; each is in it once, as a background that a class names."""

    def __init__(self, strips: Strips) -> None:
        self._strips = strips
        self._shapes: dict[tuple[int, int], tuple[int, int]] = {}

    def shown(self, row: int, clip: int, words: str) -> str:
        """An element that shows a strip."""
        if (row, clip) not in self._shapes:
            self._shapes[row, clip] = self._strips.read(row, clip).shape[:2]
        height, width = self._shapes[row, clip]
        return (
            f'<div class="strip s{row}-{clip}" style="aspect-ratio:{width}/{height}" role="img" '
            f'aria-label="{_text(words)}"></div>'
        )

    def styles(self) -> str:
        """The rules for all that were shown."""
        return "\n".join(
            f".s{row}-{clip}{{background-image:url({_data(self._strips.read(row, clip))})}}"
            for row, clip in self._shapes
        )


def _section(protocol: str, rows: list[tuple[int, Row]], pictures: _Pictures) -> str:
    """One protocol: the table of its rows, pictures, and the table of clips."""
    figures = [name for name in FIGURES if any(name in row.results[0].figures for _, row in rows)]
    seen = [(number, row) for number, row in rows if row.weights is not None]
    first = ranking(seen[0][1].results)
    compared = "".join(
        f"<details{' open' if figure == first else ''}><summary>{_text(FIGURES[figure].title)}</summary>"
        + "".join(_ranked(number, row, figure, pictures, several=len(seen) > 1) for number, row in seen)
        + "</details>"
        for figure in figures
        if any(not math.isnan(row.summaries[figure].mean) for _, row in seen)
    )
    return (
        f"<section><h2>{protocol.capitalize()}</h2><p>{EXPLAINED[protocol]}</p>"
        f"{_summary_table([row for _, row in rows], figures)}"
        "<h3>Best, median and worst</h3><p>Source, driving and result, in the middle of the clip.</p>"
        f"{compared}"
        f"<h3>Clips</h3>{_clip_table([row for _, row in rows], figures)}</section>"
    )


def _ranked(number: int, row: Row, figure: str, pictures: _Pictures, *, several: bool) -> str:
    """The best, the median and the worst clip of one row by one figure."""
    shots = []
    for label, clip in zip(LABELS, chosen(row.results, figure), strict=True):
        result = row.results[clip]
        words = f"{label}: {_number(result.figures[figure])}, {result.name}"
        strip = pictures.shown(number, clip, f"source, driving and result: {result.name}")
        shots.append(f"<figure>{strip}<figcaption>{_text(words)}</figcaption></figure>")
    head = f"<h4>{_text(row.name)}</h4>" if several else ""
    return f'{head}<div class="shots">{"".join(shots)}</div>'


def _summary_table(rows: Sequence[Row], figures: Sequence[str]) -> str:
    """A row each, with means and intervals; the best mean of weights is bold."""
    best: dict[str, float] = {}
    for figure in figures:
        means = [row.summaries[figure].mean for row in rows if row.weights is not None]
        best[figure] = min(FIGURES[figure].badness(mean) for mean in means)
    lines = []
    for row in rows:
        cells = [f'<th scope="row">{_text(row.name)}</th><td>{len(row.results)}</td><td>{row.frames}</td>']
        for figure in figures:
            summary = row.summaries[figure]
            wins = (
                row.weights is not None
                and len(rows) > 2
                and FIGURES[figure].badness(summary.mean) == best[figure]
            )
            cells.append(f"<td{' class=best' if wins else ''}>{_mean(summary)}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    heads = "".join(_head(figure) for figure in figures)
    return (
        '<div class="wide"><table><thead><tr><th></th><th>clips</th><th>frames</th>'
        f"{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _clip_table(rows: Sequence[Row], figures: Sequence[str]) -> str:
    """All clips of all rows; a click on a column's head sorts by it."""
    several = len(rows) > 1
    lines = []
    for row in rows:
        for result in row.results:
            cells = [f'<th scope="row">{_text(result.name)}</th>']
            cells += [f"<td class=name>{_text(row.name)}</td>"] if several else []
            cells.append(f'<td data-value="{result.frames}">{result.frames}</td>')
            for figure in figures:
                value = result.figures[figure]
                data = "" if math.isnan(value) else f"{value:.9g}"
                cells.append(f'<td data-value="{data}">{_number(value)}</td>')
            lines.append(f"<tr>{''.join(cells)}</tr>")
    titles = ["clip", *(["row"] if several else []), "frames", *(FIGURES[figure].title for figure in figures)]
    heads = "".join(
        f'<th scope="col"{" class=name" if title == "row" else ""}>'
        f'<button type="button">{_text(title)}</button></th>'
        for title in titles
    )
    return (
        f'<div class="wide"><table class="sortable"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _missing(report: EvaluationReport) -> str:
    """What was not measured, and which clips could not be used."""
    skipped = [
        f"{FIGURES[name].title} was not measured: {why}{f'; {hint}' if hint else ''}."
        for name, (why, hint) in report.skipped.items()
    ]
    failed = dict.fromkeys(f"Left out: {pair.reason}." for row in report.rows for pair in row.failed)
    items = "".join(f"<li>{_text(line)}</li>" for line in (*skipped, *failed))
    return f"<h2>Missing</h2><ul>{items}</ul>" if items else ""


def _meanings(report: EvaluationReport) -> str:
    names = [name for name in FIGURES if any(name in row.results[0].figures for row in report.rows)]
    figures = [FIGURES[name] for name in names]
    return "".join(f"<dt>{_text(f.title)} {ARROWS[f.better]}</dt><dd>{_text(f.unit)}</dd>" for f in figures)


def _head(figure: str) -> str:
    meaning = FIGURES[figure]
    title = f"{_text(meaning.title)}&nbsp;{ARROWS[meaning.better]}"
    return f'<th scope="col" title="{_text(meaning.unit)}">{title}</th>'


def _mean(summary: Summary) -> str:
    if summary.low is None or summary.high is None:
        return _number(summary.mean)
    return f"{_number(summary.mean)}<small>{_number(summary.low)} – {_number(summary.high)}</small>"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4g}"


def _ordinal(every: int) -> str:
    return "" if every == 1 else f"{every}th"


def _text(words: str) -> str:
    """For the page: printable, and never taken for markup."""
    return html.escape(shown(words))


def _data(strip: Picture) -> str:
    """A strip as a data address."""
    from PIL import Image

    height, width = strip.shape[:2]
    if height > STRIP_PX:
        strip = resized(strip, round(width * STRIP_PX / height), STRIP_PX)
    file = io.BytesIO()
    Image.fromarray(strip).save(file, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def _label(text: str, width: int) -> Picture:
    from PIL import Image, ImageDraw

    label = Image.new("RGB", (width, LABEL_PX), (BACKGROUND,) * 3)
    printable = text.encode("ascii", "replace").decode()
    ImageDraw.Draw(label).text((4, 3), printable, fill=INK)
    return np.asarray(label, np.uint8)


PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>{styles}</style>
</head>
<body>
<main>
<h1>{names}</h1>
<p class="facts">{facts}</p>
{sections}
{missing}
<h2>What the figures are</h2>
<p>Means over clips, each counting once; below them 95 % intervals by bootstrap over clips.
↑ more is better, ↓ less is better, → 1 nearer to 1 is better.</p>
<dl>{meanings}</dl>
</main>
<script>{script}</script>
</body>
</html>
"""
STYLES = """
:root { color-scheme: light dark; --back: #fff; --ink: #1c1d20; --soft: #63666d; --line: #dcdee3;
  --head: #f4f5f7; --accent: #0b62b8; }
@media (prefers-color-scheme: dark) { :root { --back: #15161a; --ink: #e8e9ec; --soft: #9ca0a8;
  --line: #34363d; --head: #1f2126; --accent: #7db7f5; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1200px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; }
h2 { margin: 2.2rem 0 .3rem; }
h3 { margin: 1.6rem 0 .3rem; }
h4 { margin: .8rem 0 .3rem; font-weight: 600; }
p { margin: .2rem 0 .8rem; color: var(--soft); max-width: 70ch; overflow-wrap: anywhere; }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .7rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
thead th { background: var(--head); border-top: 0; vertical-align: bottom; white-space: normal; }
tbody th, thead th:first-child { text-align: left; position: sticky; left: 0; background: var(--back); }
tbody th { font-weight: 500; max-width: 45vw; overflow: hidden; text-overflow: ellipsis; }
thead th:first-child { background: var(--head); }
td.name, thead th.name { text-align: left; }
td small { display: block; color: var(--soft); font-size: .75rem; }
td.best { font-weight: 700; color: var(--accent); }
td.best small { font-weight: 400; }
.sortable button { all: unset; cursor: pointer; }
.sortable button:hover, .sortable button:focus-visible { color: var(--accent); text-decoration: underline; }
th[aria-sort=ascending] button::after { content: " ▲"; }
th[aria-sort=descending] button::after { content: " ▼"; }
details { border-top: 1px solid var(--line); padding: .5rem 0; }
summary { cursor: pointer; font-weight: 600; }
.shots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 320px), 1fr)); gap: 12px;
  margin: .4rem 0 .8rem; }
figure { margin: 0; }
figcaption { font-size: .8rem; color: var(--soft); overflow-wrap: anywhere; }
.strip { width: 100%; background-size: contain; background-repeat: no-repeat; border-radius: 6px;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .9rem; }
dt { font-weight: 600; }
dd { margin: 0; color: var(--soft); }
@media (max-width: 640px) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .5rem; } }
"""
SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const value = (row, column) => {
    const cell = row.cells[column], data = cell.dataset.value;
    return data === undefined ? cell.textContent : data === "" ? null : Number(data);
  };
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...body.rows].sort((first, second) => {
      const a = value(first, column), b = value(second, column);
      if (a === null || b === null) return (a === null) - (b === null);
      const order = typeof a === "number" ? a - b : a.localeCompare(b);
      return down ? -order : order;
    });
    body.append(...rows);
  }));
}
"""
