"""The page of a report: whole, by itself, and safe whatever clips are called."""

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mcnet_cli.evaluation.folder import Strips, chosen, write_page, write_sheet
from mcnet_cli.evaluation.report import ClipResult, EvaluationReport, Failed, Row, WeightsFacts
from mcnet_cli.evaluation.request import EvaluationRequest, Settings
from mcnet_cli.media import read_image

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>.mp4"
NAMES = ("anna.mp4", EVIL, "cléo/3 & 4.mp4", "dora.mp4")
VOID = {"meta", "br", "img"}


class Page(HTMLParser):
    """Elements of a page; a tag that is not closed where it should be is an AssertionError."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def results(*values: float) -> tuple[ClipResult, ...]:
    return tuple(
        ClipResult(name, name, 5, 0, 0, False, {"l1": value, "psnr": 20 + value})
        for name, value in zip(NAMES, values, strict=False)
    )


def report_of(*rows: tuple[str, tuple[float, ...]], output: Path | None = None) -> EvaluationReport:
    made = [
        Row(
            protocol="reconstruction",
            name=name,
            weights=None if name == "copy" else Path(name),
            settings=Settings(),
            size=32,
            keypoints="tracked landmarks",
            facts=None if name == "copy" else WeightsFacts(1000),
            results=results(*values),
            failed=(Failed(EVIL, EVIL, f"{EVIL} is 64x48, not square"),),
        )
        for name, values in rows
    ]
    return EvaluationReport(
        request=EvaluationRequest(clips=Path("held <b>out"), output=output),
        device="cpu",
        precision="fp32",
        why="as asked for",
        landmarks="468 points",
        rows=tuple(made),
        skipped={"lpips": ("alexnet is <not> here", None)},
        seconds=1.0,
    )


@pytest.fixture
def strips(tmp_path: Path) -> Strips:
    """Strips of the clips of three rows, each of a colour of its own."""
    kept = Strips(tmp_path)
    for row in range(3):
        for clip in range(len(NAMES)):
            kept.keep(
                row, clip, *(np.full((32, 32, 3), 60 * row + 10 * clip + k, np.uint8) for k in range(3))
            )
    return kept


@pytest.fixture
def text(strips: Strips, tmp_path: Path) -> str:
    report = report_of(
        ("lite", (0.3, 0.1, 0.4, 0.2)), ("<i>other", (0.1, 0.2, 0.3, math.nan)), ("copy", (1, 1, 1, 1))
    )
    write_page(tmp_path / "report.html", report, strips)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_page_is_well_formed_and_names_every_clip_of_every_row(text: str) -> None:
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    heads = [content for tag, content in page.texts if tag == "th"]
    for name in NAMES:
        assert heads.count(name) == 3, name
    assert heads.count("lite") == heads.count("<i>other") == 1
    sortable = [table for table in page.all("table") if table.get("class") == "sortable"]
    assert len(sortable) == 1
    assert [content for tag, content in page.texts if tag == "button"] == [
        "clip",
        "row",
        "frames",
        "L1",
        "PSNR",
    ]


def test_names_are_never_taken_for_markup(text: str) -> None:
    page = Page(text)
    assert len(page.all("script")) == 1, "our own"
    assert not page.all("img") and not page.all("i") and not page.all("b")
    assert not [a for _, attributes in page.elements for a in attributes if a.startswith("on")]
    (script,) = (content for tag, content in page.texts if tag == "script")
    assert "alert" not in script
    assert [content for tag, content in page.texts if tag == "h1"] == ["lite · <i>other"]


def test_a_page_needs_nothing_from_elsewhere(text: str) -> None:
    page = Page(text)
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        assert not {"src", "href", "srcset", "action", "data"} & {*attributes}
    addresses = re.findall(r"url\(([^)]{0,40})", text)
    assert addresses and all(address.startswith("data:image/webp;base64,") for address in addresses)
    assert "http:" not in text and "https:" not in text and "@import" not in text
    (policy,) = (m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'")


def test_best_median_and_worst_are_shown_for_each_row_and_figure(text: str) -> None:
    captions = [content for tag, content in Page(text).texts if tag == "figcaption"]
    assert captions[:6] == [
        f"best: 0.1, {EVIL}",
        "median: 0.2, dora.mp4",
        "worst: 0.4, cléo/3 & 4.mp4",
        "best: 0.1, anna.mp4",
        f"median: 0.2, {EVIL}",
        "worst: –, dora.mp4",
    ]
    assert len(captions) == 2 * 2 * 3, "of two figures; a copy needs no pictures"
    strip_rules = re.findall(r"^\.s(\d)-(\d)\{", text, re.MULTILINE)
    shown = {tuple(c.split("-")) for c in re.findall(r'class="strip s(\d-\d)"', text)}
    assert {*strip_rules} == shown, "each strip that is shown is there once, and no other"
    assert len(strip_rules) == len({*strip_rules})


def test_what_is_missing_is_said(text: str) -> None:
    items = [content for tag, content in Page(text).texts if tag == "li"]
    assert items == [
        "LPIPS was not measured: alexnet is <not> here.",
        f"Left out: {EVIL} is 64x48, not square.",
    ]


def test_the_sheet_shows_best_median_and_worst(strips: Strips, tmp_path: Path) -> None:
    write_sheet(tmp_path / "sheet.png", results(0.3, 0.1, 0.4, 0.2), strips)
    sheet = read_image(tmp_path / "sheet.png")
    assert sheet.shape == (3 * (32 + 18), 3 * 32, 3)
    assert [int(sheet[18 + n * 50, 0, 0]) for n in range(3)] == [10, 30, 20]


def test_the_best_is_what_the_figure_calls_better() -> None:
    def clips(name: str, *values: float) -> list[ClipResult]:
        return [ClipResult("", "", 1, 0, 0, False, {name: value}) for value in values]

    assert chosen(clips("l1", 0.3, 0.1, 0.5, 0.2, 0.4), "l1") == (1, 0, 2)
    assert chosen(clips("psnr", 20, 30, 25), "psnr") == (1, 2, 0)
    assert chosen(clips("jitter", 0.4, 1.1, 2), "jitter") == (1, 2, 0), (
        "nearest to 1; half is as far as twice"
    )
    assert chosen(clips("l1", math.nan, 0.1), "l1") == (1, 1, 0)
