"""`evaluate`: pairs are moved and measured, row by row of the report. The steps in their order."""

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from mcnet_cli import engines
from mcnet_cli.checkpoint import read_weights
from mcnet_cli.devices import choose
from mcnet_cli.engines import Events, Tell
from mcnet_cli.errors import InputError, shown
from mcnet_cli.evaluation.folder import Strips, atomic_folder, check_outside, write_report
from mcnet_cli.evaluation.measures import choose_instruments
from mcnet_cli.evaluation.pairs import Pair, PairMovers, expected_frames, pairs_of
from mcnet_cli.evaluation.report import COPY, ClipResult, EvaluationReport, Failed, Row
from mcnet_cli.evaluation.request import RECONSTRUCTION, EvaluationRequest, Settings
from mcnet_cli.evaluation.work import (
    Measured,
    PairNews,
    PairWork,
    PlannedRow,
    RowNetwork,
    Task,
    WorkState,
    tasks_of,
)
from mcnet_cli.media.clips import split_of
from mcnet_cli.progress import OnProgress, Progress, silent
from mcnet_cli.weights import NEVER, resolve_weights

Outcome = TypeVar("Outcome", ClipResult, Failed)
EVALUATING = "evaluating"

log = logging.getLogger(__name__)


def evaluate(request: EvaluationRequest, on_progress: OnProgress = silent) -> EvaluationReport:
    """Moves portraits with every weights file, measures the results, and writes the report if asked to.

    Of a folder that holds train/ and test/ the latter is measured on. A clip that can't be used is listed,
    and the others go on. Progress counts the frames that are made, in all rows; how many that will be is
    known from the clips' headers.

    Raises the children of McnetError: InputError if no clip can be used, or with `request.strict` if one
    can't, or only in part; the report is there then.
    """
    began = time.monotonic()
    request = _on_held_out(request)
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
        state = WorkState(instruments, PairMovers(request, compute))
        # Whatever may be downloaded is here by now, and other processes can't ask the user.
        work = PairWork(replace(request, fetch=NEVER), tuple(plans), strips)
        tasks = tasks_of(plans, pairs)
        rows = _Rows(plans, tasks, strips)
        progress = _FramesMade(plans, pairs, expected_frames(request, pairs), on_progress)
        for event in stack.enter_context(closing(_events(work, tasks, state, progress.tell))):
            progress.tell(event.news)
            if event.finished is not None and event.result is not None:
                rows.add(event.finished, event.result)
                for number in event.result.pairs:
                    progress.finish((event.finished.row, number))
        report = EvaluationReport(
            request=request,
            device=str(compute.device),
            precision=compute.precision,
            why=compute.why,
            landmarks=instruments.landmarks,
            rows=rows.all(),
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


def _on_held_out(request: EvaluationRequest) -> EvaluationRequest:
    """The request for the part of a dataset that isn't trained on, if its folders part it."""
    split = split_of(request.clips)
    if split.held_out is None:
        return request
    log.info(
        "%s holds %s/ and %s/: it is measured on the latter",
        *(shown(path.name) for path in (request.clips.resolve(), split.train, split.held_out)),
    )
    return replace(request, clips=split.held_out)


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


def _events(work: PairWork, tasks: Sequence[Task], state: WorkState, tell: Tell) -> Events[Task, Measured]:
    """What the engine says that is asked for. One process, where it is enough, is this one."""
    engine, count = work.request.engine, work.request.workers
    if engine == "local" and (count or 1) == 1:
        return engines.run_here(work, tasks, state, tell)
    workers = min(count or engines.default_workers(), len(tasks))
    return engines.run(replace(work, threads=engines.threads_of(engine, workers)), tasks, engine, workers)


class _FramesMade:
    """Counts the frames that are made in all rows, of those that the drivings' headers tell of."""

    def __init__(
        self,
        plans: Sequence[PlannedRow],
        pairs: Mapping[str, Sequence[Pair]],
        expected: Mapping[tuple[str, Pair], int],
        on_progress: OnProgress,
    ) -> None:
        self._expected = {
            (row, number): expected[plan.protocol, pair]
            for row, plan in enumerate(plans)
            for number, pair in enumerate(pairs[plan.protocol])
        }
        self._made = dict.fromkeys(self._expected, 0)
        self._done, self._total = 0, sum(self._expected.values())
        self._on_progress = on_progress

    def tell(self, news: PairNews | None) -> None:
        """How many frames of a pair have been made; None is a sign of life."""
        if news is not None:
            pair, made = news
            made = min(made, self._expected[pair])  # a header may promise too few
            self._done += made - self._made[pair]
            self._made[pair] = made
        self._on_progress(Progress(EVALUATING, self._done, self._total))

    def finish(self, pair: tuple[int, int]) -> None:
        """A pair is done, with however many frames."""
        self.tell((pair, self._expected[pair]))


class _Rows:
    """The rows of a report while their pairs are measured, in any order."""

    def __init__(self, plans: Sequence[PlannedRow], tasks: Sequence[Task], strips: Strips | None) -> None:
        self._plans, self._strips = plans, strips
        self._left = Counter({number: 0 for number in range(len(plans))})
        for task in tasks:
            self._left[task.row] += len(task.pairs)
        self._pairs: list[dict[int, ClipResult | Failed]] = [{} for _ in plans]
        self._networks: list[RowNetwork | None] = [None] * len(plans)

    def add(self, task: Task, measured: Measured) -> None:
        """Adds a task's pairs; InputError if they complete a row of which no pair could be used."""
        self._pairs[task.row].update(measured.pairs)
        self._networks[task.row] = self._networks[task.row] or measured.network
        failed = [pair for pair in measured.pairs.values() if isinstance(pair, Failed)]
        for pair in failed:
            log.warning("%s", pair.reason)
        self._left[task.row] -= len(task.pairs)
        if not self._left[task.row] and not self._of(task.row, ClipResult):
            first = self._pairs[task.row][0]
            assert isinstance(first, Failed)
            raise InputError(
                f"no clip can be used; the first: {first.reason}",
                hint="cut faces out with mcnet preprocess",
            )

    def all(self) -> tuple[Row, ...]:
        """The finished rows."""
        return tuple(map(self._row, range(len(self._plans))))

    def _row(self, number: int) -> Row:
        plan, network, pairs = self._plans[number], self._networks[number], self._pairs[number]
        assert network is not None
        if self._strips is not None:
            self._strips.renumber(number, [n for n in sorted(pairs) if isinstance(pairs[n], ClipResult)])
        return Row(
            protocol=plan.protocol,
            name=plan.name,
            weights=plan.weights,
            settings=plan.settings,
            size=network.size,
            keypoints=network.keypoints,
            facts=network.facts,
            results=self._of(number, ClipResult),
            failed=self._of(number, Failed),
        )

    def _of(self, number: int, kind: type[Outcome]) -> tuple[Outcome, ...]:
        """The outcomes of a row's pairs that are of a kind, in the order of the pairs."""
        pairs = self._pairs[number]
        return tuple(pair for place in sorted(pairs) if isinstance(pair := pairs[place], kind))
