"""`evaluate`: pairs are moved and measured, row by row of the report. The steps in their order."""

import contextlib
import logging
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mcnet_cli.checkpoint import read_weights
from mcnet_cli.devices import choose
from mcnet_cli.errors import InputError
from mcnet_cli.evaluation.folder import Strips, atomic_folder, check_outside, write_report
from mcnet_cli.evaluation.measures import ClipMeter, Instruments, choose_instruments
from mcnet_cli.evaluation.pairs import Moved, Movers, OnFrame, Pair, expected_frames, pairs_of, unmoved
from mcnet_cli.evaluation.report import COPY, ClipResult, EvaluationReport, Failed, Row
from mcnet_cli.evaluation.request import RECONSTRUCTION, EvaluationRequest, Settings
from mcnet_cli.progress import OnProgress, Progress, silent
from mcnet_cli.weights import resolve_weights

EVALUATING = "evaluating"

log = logging.getLogger(__name__)


def evaluate(request: EvaluationRequest, on_progress: OnProgress = silent) -> EvaluationReport:
    """Moves portraits with every weights file, measures the results, and writes the report if asked to.

    A clip that can't be used is listed, and the others go on. Progress counts the frames
    that are made, in all rows; how many that will be is known from the clips' headers.

    Raises the children of McnetError: InputError if no clip can be used, or with `request.strict` if one
    can't, or only in part; the report is there then.
    """
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder, strips = None, None
        if request.output is not None:
            check_outside(request)
            folder = stack.enter_context(atomic_folder(request.output, overwrite=request.overwrite))
            strips = Strips(folder)
        pairs = {protocol: pairs_of(request, protocol) for protocol in request.protocols}
        compute = choose(request.device, request.precision)
        plans = planned_rows(request, weights_files(request))
        instruments = choose_instruments(request, compute)
        movers = Movers(request, compute)
        rows: dict[int, Row] = {}
        frames = expected_frames(request, pairs)
        done, total = 0, sum(frames[plan.protocol, pair] for plan in plans for pair in pairs[plan.protocol])
        for number in working_order(plans):
            plan = plans[number]
            size = rows[0].size if rows else 0
            work = _RowInProgress(request, plan, instruments, movers, strips, number, size)
            for pair in pairs[plan.protocol]:
                expected = frames[plan.protocol, pair]
                work.add(pair, partial(_tell, on_progress, done, expected, total))
                done += expected
            rows[number] = work.row()
        report = EvaluationReport(
            request=request,
            device=str(compute.device),
            precision=compute.precision,
            why=compute.why,
            landmarks=instruments.landmarks,
            rows=tuple(rows[number] for number in range(len(plans))),
            skipped={name: (str(error), error.hint) for name, error in instruments.skipped.items()},
            seconds=time.monotonic() - began,
        )
        if folder is not None and strips is not None:
            write_report(folder, report, strips)
    bad = len({pair for row in report.rows for pair in row.unusable})
    if request.strict and bad:
        raise InputError(
            f"{bad} of {sum(map(len, pairs.values()))} clips can't be used, or only in part",
            hint="without --strict this is no error",
        )
    return report


def _tell(on_progress: OnProgress, done: int, expected: int, total: int, made: int) -> None:
    """Reports progress: `made` frames of a pair beside `done` ones of those before it.

    expected: frames of the pair. It may turn out to have more or fewer than its header says.
    """
    on_progress(Progress(EVALUATING, done + min(made, expected), total))


def weights_files(request: EvaluationRequest) -> dict[str, Path]:
    """The weights by the shortest names that tell them apart; WeightsError for a file that can't be used.

    Every file is read once at the start, so that none fails when the others have been measured.
    """
    asked: tuple[str | None, ...] = request.weights or (None,)
    paths = list(dict.fromkeys(resolve_weights(name, fetch=request.fetch) for name in asked))
    for path in paths:
        read_weights(path)
    whole = [path.absolute().with_suffix("").parts for path in paths]
    for depth in range(1, max(map(len, whole)) + 1):
        names = {"/".join(parts[-depth:]): path for parts, path in zip(whole, paths, strict=True)}
        if len(names) == len(paths) and COPY not in names:
            return names
    return {str(path): path for path in paths}


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A row of the report before it is measured; without weights the source is shown unmoved."""

    protocol: str
    name: str
    weights: Path | None
    settings: Settings


def planned_rows(request: EvaluationRequest, files: dict[str, Path]) -> list[PlannedRow]:
    """In each protocol the weights in order, each with its variations; the copy where there is a truth."""
    rows = []
    for protocol in request.protocols:
        for name, file in files.items():
            rows.append(PlannedRow(protocol, name, file, request.settings))
            for variation in request.variations:
                varied = f"{name}, {variation}" if len(files) > 1 else str(variation)
                rows.append(PlannedRow(protocol, varied, file, request.settings.changed(variation)))
        if protocol == RECONSTRUCTION:
            rows.append(PlannedRow(protocol, COPY, None, Settings()))
    return rows


def working_order(plans: Sequence[PlannedRow]) -> list[int]:
    """The numbers of planned rows, those of equal names together: they need the same network and motions."""
    names = list(dict.fromkeys(plan.name for plan in plans))
    return sorted(range(len(plans)), key=lambda number: names.index(plans[number].name))


class _RowInProgress:
    """A row of the report while its pairs are measured one after the other."""

    def __init__(
        self,
        request: EvaluationRequest,
        plan: PlannedRow,
        instruments: Instruments,
        movers: Movers,
        strips: Strips | None,
        number: int,
        copy_size: int,
    ) -> None:
        self._request, self._plan, self._instruments = request, plan, instruments
        self._mover = None if plan.weights is None else movers.of(plan.protocol, plan.weights, plan.settings)
        self._size = copy_size if self._mover is None else plan.settings.size or self._mover.size
        self._strips, self._number = strips, number
        self._results: list[ClipResult] = []
        self._failed: list[Failed] = []

    def add(self, pair: Pair, on_frame: OnFrame) -> None:
        """Makes and measures a pair; one that can't be used is noted with the reason."""
        on_frame(0)
        try:
            self._results.append(self._measured(pair, on_frame))
        except InputError as error:
            self._failed.append(Failed(pair.source.name, pair.driving.name, str(error)))
            log.warning("%s", error)

    def row(self) -> Row:
        """The finished row; InputError if none of its pairs could be used."""
        if not self._results:
            raise InputError(
                f"no clip can be used; the first: {self._failed[0].reason}",
                hint="cut faces out with mcnet preprocess",
            )
        plan = self._plan
        return Row(
            protocol=plan.protocol,
            name=plan.name,
            weights=plan.weights,
            settings=plan.settings,
            size=self._size,
            keypoints=self._mover.keypoints if self._mover else "none",
            facts=self._mover.facts if self._mover else None,
            results=tuple(self._results),
            failed=tuple(self._failed),
        )

    def _measured(self, pair: Pair, on_frame: OnFrame) -> ClipResult:
        moved = self._moved(pair, on_frame)
        truth = self._plan.protocol == RECONSTRUCTION
        names = self._instruments.wanted[self._plan.protocol]
        meter, done = ClipMeter(self._instruments, names, moved.source, truth=truth), 0
        with closing(moved.frames()) as frames:
            for real, made in frames:
                meter.add(real, made)
                if self._strips is not None and done == moved.count // 2:
                    self._strips.keep(self._number, len(self._results), moved.source, real, made)
                done += 1
                on_frame(done)
        return ClipResult(
            source=pair.source.name,
            driving=pair.driving.name,
            frames=done,
            no_face=moved.no_face,
            faceless=meter.faceless,
            damaged=moved.damaged,
            figures=meter.figures(),
        )

    def _moved(self, pair: Pair, on_frame: OnFrame) -> Moved:
        if self._mover is None:
            return unmoved(pair, self._request, self._size)
        return self._mover.move(pair, self._plan.protocol, self._plan.settings, on_frame)
