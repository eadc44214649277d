"""The report's folder: complete under its name, or not there."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mcnet_cli.errors import UsageError, shown
from mcnet_cli.evaluation.html import Strips, write_page, write_sheet
from mcnet_cli.evaluation.report import EvaluationReport
from mcnet_cli.evaluation.request import EvaluationRequest
from mcnet_cli.files import partial_name, sweep_partials, system_failure
from mcnet_cli.system import sync_folder

JSON_FILE, CSV_FILE, MARKDOWN_FILE = "report.json", "report.csv", "report.md"
PAGE_FILE, SHEET_FILE = "report.html", "sheet.png"
FILES = {JSON_FILE, CSV_FILE, MARKDOWN_FILE, PAGE_FILE, SHEET_FILE}


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
    """UsageError if `target` may not become a report: taken without `overwrite`, or by anything else."""
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
