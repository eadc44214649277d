"""Draws a chart of what `mcnet benchmark --stages --json` measured, beside what peers publish.

    mcnet benchmark --stages --json > speed.json
    python examples/make_speed_chart.py speed.json -o examples/speed.png

Several files may be given, one for each machine or weights.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

# Frames a second as their authors publish them, what is counted, and on which hardware.
PEERS = (
    ("LivePortrait, network alone", 1000 / 13.95, "RTX 4090, torch.compile"),
    ("FasterLivePortrait, whole pipeline", 30.0, "RTX 3090, TensorRT"),
    ("FOMM in Avatarify, live", 33.0, "GTX 1080 Ti"),
    ("FOMM in Avatarify, live", 9.0, "GTX 950"),
)
WIDTH, ROW, LEFT, MARGIN = 1200, 40, 430, 24
OURS, THEIRS, INK, FAINT = (31, 119, 180), (170, 170, 170), (30, 30, 30), (110, 110, 110)

Bar = tuple[str, float, str, bool]  # label, value, note, whether it is ours


def rates(reports: list[dict[str, Any]]) -> list[Bar]:
    """Frames a second: the whole command of each report, and peers."""
    ours = [
        (
            f"{each['weights']}, whole command",
            float(each["command"]["rate"]),
            f"{each['processor']}, {each['threads']} threads, {each['device']} {each['precision']}",
            True,
        )
        for each in reports
    ]
    return [*ours, *((name, rate, hardware, False) for name, rate, hardware in PEERS)]


def stages(report: dict[str, Any]) -> list[Bar]:
    """Processor milliseconds a frame of each stage that every frame passes."""
    return [
        (
            each["name"],
            float(each["timing"]["cpu"]),
            "" if each["share"] is None else f"{each['share']:.0%} of this machine's peak",
            True,
        )
        for each in report["stages"]
        if each["unit"] == "frame"
    ]


def draw(panels: list[tuple[str, list[Bar]]]) -> Image.Image:
    """One picture of all panels, one below the other."""
    height = MARGIN + sum(ROW * (len(bars) + 2) for _, bars in panels)
    chart = Image.new("RGB", (WIDTH, height), "white")
    pen = ImageDraw.Draw(chart)
    title, text = (ImageFont.load_default(size) for size in (22, 17))
    top = MARGIN
    for heading, bars in panels:
        pen.text((MARGIN, top), heading, INK, title)
        top += ROW
        longest = max(value for _, value, _, _ in bars)
        for label, value, note, is_ours in bars:
            pen.text((MARGIN, top + 6), label, INK, text)
            right = LEFT + max(2, round(value / longest * (WIDTH - LEFT - 400)))
            pen.rectangle((LEFT, top + 4, right, top + ROW - 8), OURS if is_ours else THEIRS)
            pen.text((right + 8, top + 6), f"{value:.1f}", INK, text)
            pen.text((right + 66, top + 6), note, FAINT, text)
            top += ROW
        top += ROW
    return chart


def main() -> None:
    """Reads the reports, draws them, writes the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("reports", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, default=Path("speed.png"))
    options = parser.parse_args()
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in options.reports]
    panels = [("Frames a second, file to file; peers as they publish it", rates(reports))]
    if reports[0]["stages"]:
        panels.append(("Processor time a frame, in ms", stages(reports[0])))
    draw(panels).quantize(32).save(options.output, optimize=True)


if __name__ == "__main__":
    main()
