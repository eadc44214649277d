"""Preprocessing: from videos and pictures to clips of single faces, their landmarks, and an index."""

import contextlib
import logging
import shutil
import time
from collections.abc import Collection, Iterator, Sequence

from mcnet_cli import engines
from mcnet_cli.errors import InputError, shown
from mcnet_cli.preprocessing.clip_maker import ClipMaker
from mcnet_cli.preprocessing.inputs import InputFile, find_inputs
from mcnet_cli.preprocessing.records import INDEX, Record, Records, prepare
from mcnet_cli.preprocessing.report import PreprocessPlan, PreprocessReport, write_preview
from mcnet_cli.preprocessing.request import PreprocessRequest
from mcnet_cli.progress import OnProgress, Progress, silent

MAX_WARNINGS = 10

log = logging.getLogger(__name__)


def preprocess(
    request: PreprocessRequest, on_progress: OnProgress = silent
) -> PreprocessReport | PreprocessPlan:
    """Does what is left to do of a request; with `dry_run` it only reports what that is.

    InputError if no input can be used or, with `strict`, if a single one can't. SystemFailure if the system
    fails. UsageError if the output folder holds clips of other videos with the same names.
    """
    began = time.monotonic()
    all_files = find_inputs(request)
    index, parts = request.shard or (0, 1)
    files = all_files[index::parts]
    records = Records(request.output)
    for file in files:
        records.check_owner(file)
    settings = request.settings
    waiting = [file for file in files if not (request.resume and records.is_done(file, settings))]
    if request.dry_run:
        paths = tuple(file.path for file in waiting)
        return PreprocessPlan(request.output, paths, len(files) - len(waiting))
    with _cleared_on_failure(records, is_part=request.shard is not None):
        prepare(request.output)
        _run(request, waiting, on_progress)
        found = [record for file in files if (record := records.read(file.name))]
        _require_some(found)
        all_records = records.write_index([file.name for file in all_files])
    preview = None
    if request.preview:
        names = [file.name for file in all_files if file.name in all_records]
        rows = [row for name in names for row in all_records[name].rows]
        preview = write_preview(request.output, rows)
    report = PreprocessReport(
        request.output,
        tuple(found),
        len(waiting),
        time.monotonic() - began,
        preview,
        settings.framing,
    )
    _warn(report)
    if request.strict and (bad := len({r.name for r in (*report.failures, *report.damaged)})):
        raise InputError(
            f"{bad} of {len(report.records)} inputs can't be used, or only in part",
            hint=f"what could be used is in {shown(request.output)}; without --strict this is no error",
        )
    return report


def _run(request: PreprocessRequest, waiting: Sequence[InputFile], on_progress: OnProgress) -> None:
    if not waiting:
        return
    workers = min(request.workers or engines.default_workers(), len(waiting))
    maker = ClipMaker(request.output.absolute(), request.settings, _device(request))
    done, frames, total = 0, 0, None
    with contextlib.closing(engines.run(maker, waiting, request.engine, workers)) as events:
        for event in events:
            done += event.finished is not None
            if event.news is not None:
                frames, total = event.news
            if len(waiting) > 1:
                on_progress(Progress("preprocessing", done, len(waiting), "inputs"))
            else:
                on_progress(Progress("preprocessing", frames, total, "frames"))


def _device(request: PreprocessRequest) -> str:
    """Where the detector computes. Torch, which takes seconds to load, is imported only if it is needed."""
    if request.settings.detector == "blazeface":
        return "cpu"
    from mcnet_cli.devices import choose_device

    return str(choose_device(request.device))


@contextlib.contextmanager
def _cleared_on_failure(records: Records, *, is_part: bool) -> Iterator[None]:
    """If the block fails before there is any clip, removes what it made, folders included.

    is_part: whether other parts of the run may be at work in the same folder; then nothing is removed.
    """
    output = records.output
    before = {*output.glob("*")}
    missing = [folder for folder in (output, *output.parents) if not folder.exists()]
    try:
        yield
    except BaseException:
        if not is_part:
            if not any(record.files and record.is_finished for record in records.all().values()):
                shutil.rmtree(records.folder, ignore_errors=True)
            new = [path for path in output.glob("*") if path not in before]
            for folder in (*new, *missing):
                with contextlib.suppress(OSError):  # a file, or a folder that holds something
                    folder.rmdir()
        raise


def _require_some(records: Collection[Record]) -> None:
    """InputError if no input could be used."""
    failures = [record.failure for record in records if record.failure]
    if not failures or len(failures) < len(records):
        return
    if len(failures) == 1:
        raise InputError(failures[0])
    raise InputError(f"all {len(failures)} inputs failed; the first: {failures[0]}")


def _warn(report: PreprocessReport) -> None:
    """Logs what was wrong with inputs."""
    wrong = [record.failure for record in report.failures if record.failure]
    wrong += [warning for record in report.records for warning in record.warnings]
    if report.records and not report.kept:
        why = ", ".join(f"{count} {reason}" for reason, count in report.dropped.most_common())
        wrong.append(f"there are no clips: all faces were dropped ({why})")
    for line in wrong[:MAX_WARNINGS]:
        log.warning("%s", line)
    if len(wrong) > MAX_WARNINGS:
        log.warning("%d more inputs like these are listed in %s", len(wrong) - MAX_WARNINGS, INDEX)
