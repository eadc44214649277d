"""`preprocess`: from inputs to clips, their landmarks, and the index."""

import contextlib
import logging
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from mcnet_cli.errors import InputError, shown
from mcnet_cli.preprocessing.engine import find_engine
from mcnet_cli.preprocessing.inputs import Source, find_sources
from mcnet_cli.preprocessing.preview import write_preview
from mcnet_cli.preprocessing.records import INDEX, Record, Records, prepare
from mcnet_cli.preprocessing.report import PreprocessPlan, PreprocessReport
from mcnet_cli.preprocessing.request import PreprocessRequest
from mcnet_cli.preprocessing.task import Work
from mcnet_cli.system import processor_count

MOST_WARNINGS = 10

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` (None: nobody knows) units of a stage."""

    stage: str
    done: int
    total: int | None
    unit: str


OnProgress = Callable[[Progress], None]


def preprocess(
    request: PreprocessRequest, on_progress: OnProgress | None = None
) -> PreprocessReport | PreprocessPlan:
    """Does what is left to do of a request; with `dry_run` it only says what that is.

    InputError if no input at all can be used or, with `strict`, if one can't; SystemFailure if the system
    fails; UsageError for a request that makes no sense.
    """
    began = time.monotonic()
    everything = find_sources(request)
    index, parts = request.shard or (0, 1)
    sources = everything[index::parts]
    records = Records(request.output)
    for source in sources:
        records.check_owner(source)
    settings = request.settings
    waiting = [s for s in sources if not (request.resume and records.is_done(s, settings))]
    if request.dry_run:
        return PreprocessPlan(request.output, tuple(s.path for s in waiting), len(sources) - len(waiting))
    with _cleared_if_useless(records, is_part=request.shard is not None):
        prepare(request.output)
        _run(request, waiting, on_progress or (lambda progress: None))
        found = {source.name: record for source in sources if (record := records.read(source.name))}
        _require_some(found.values())
        every = records.write_index([source.name for source in everything])
    preview = None
    if request.preview:
        rows = [row for source in everything if source.name in every for row in every[source.name].rows]
        preview = write_preview(request.output, rows)
    report = PreprocessReport(
        request.output,
        tuple(found.values()),
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


def _run(request: PreprocessRequest, waiting: Sequence[Source], on_progress: OnProgress) -> None:
    if not waiting:
        return
    engine = find_engine(request.engine)
    workers = min(request.workers or usual_workers(), len(waiting))
    work = Work(request.output.absolute(), request.settings, _device(request))
    done, frames, total = 0, 0, None
    with contextlib.closing(engine(work, waiting, workers)) as events:
        for event in events:
            done += event.finished is not None
            if event.frames:
                frames, total = event.frames, event.total
            if len(waiting) > 1:
                on_progress(Progress("preprocessing", done, len(waiting), "inputs"))
            else:
                on_progress(Progress("preprocessing", frames, total, "frames"))


def _device(request: PreprocessRequest) -> str:
    """Where the detector computes; torch, which takes seconds to load, is asked only where it is needed."""
    if request.settings.detector == "blazeface":
        return "cpu"
    from mcnet_cli.devices import choose_device

    return str(choose_device(request.device))


def usual_workers() -> int:
    """A process for every second processor: decoders and encoders want some too."""
    return max(1, processor_count() // 2)


@contextlib.contextmanager
def _cleared_if_useless(records: Records, *, is_part: bool) -> Iterator[None]:
    """If the block fails before there is any clip, what it made is removed, folders included.

    is_part: of a run of which other parts may be at work in the same folder; then nothing is removed.
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
    """InputError if no input at all could be used."""
    failures = [record.failure for record in records if record.failure]
    if not failures or len(failures) < len(records):
        return
    if len(failures) == 1:
        raise InputError(failures[0])
    raise InputError(f"all {len(failures)} inputs failed; the first: {failures[0]}")


def _warn(report: PreprocessReport) -> None:
    """Says what was wrong with inputs."""
    wrong = [record.failure for record in report.failures if record.failure]
    wrong += [warning for record in report.records for warning in record.warnings]
    if report.records and not report.kept:
        why = ", ".join(f"{count} {reason}" for reason, count in report.dropped.most_common())
        wrong.append(f"there are no clips: all faces were dropped ({why})")
    for line in wrong[:MOST_WARNINGS]:
        log.warning("%s", line)
    if len(wrong) > MOST_WARNINGS:
        log.warning("%d more inputs like these are listed in %s", len(wrong) - MOST_WARNINGS, INDEX)
