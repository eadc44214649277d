"""`evaluate`: the steps in the order in which they happen."""

import contextlib
import functools
import logging
import time

from mcnet_cli.animation import Animator
from mcnet_cli.checkpoint import read_weights
from mcnet_cli.devices import choose
from mcnet_cli.errors import InputError, UsageError, shown
from mcnet_cli.evaluation.bench import Bench
from mcnet_cli.evaluation.folder import atomic_folder
from mcnet_cli.evaluation.moving import Mover
from mcnet_cli.evaluation.pairs import Pair, pairs_of
from mcnet_cli.evaluation.report import ClipResult, EvaluationReport, Failed, write_report
from mcnet_cli.evaluation.request import RECONSTRUCTION, EvaluationRequest
from mcnet_cli.evaluation.sheet import Strips
from mcnet_cli.evaluation.suite import choose_suite
from mcnet_cli.face import STEADY_LOOKS, FaceMesh, make_detector
from mcnet_cli.progress import OnProgress, Progress
from mcnet_cli.weights import resolve_weights

EVALUATING = "evaluating"

log = logging.getLogger(__name__)


def evaluate(request: EvaluationRequest, on_progress: OnProgress | None = None) -> EvaluationReport:
    """Makes clips anew, measures them, and writes the report if `request.output` names a folder.

    A clip that can't be used is listed, and the others go on. Raises the children of McnetError: InputError
    if no clip can be used, or with `request.strict` if one can't, or only in part; the report is there then.
    """
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        strips, folder = None, None
        if request.output is not None:
            _check_outside(request)
            folder = stack.enter_context(atomic_folder(request.output, overwrite=request.overwrite))
            strips = Strips(folder)
        pairs = pairs_of(request)
        compute = choose(request.device, request.precision)
        weights = read_weights(resolve_weights(request.weights, fetch=request.fetch))
        suite = choose_suite(request, compute)
        detector = make_detector(request.detector, str(compute.device))
        tracks = weights.landmarks is not None or request.protocol != RECONSTRUCTION
        finds_by = request.detector if tracks else None
        animator = Animator(weights, compute, detector=finds_by, batch_size=request.batch_size)
        mesh = FaceMesh(STEADY_LOOKS)
        mover = Mover(request, animator)
        bench = Bench(mover, detector, mesh, suite, strips)
        results, failed = _measured(bench, pairs, on_progress or (lambda _now: None))
        report = EvaluationReport(
            request=request,
            weights=weights.path,
            device=str(compute.device),
            precision=compute.precision,
            why=compute.why,
            size=animator.size,
            landmarks=bench.landmarks,
            keypoints="tracked landmarks" if animator.landmarks else "the network's detector",
            results=tuple(results),
            failed=tuple(failed),
            skipped={name: (str(error), error.hint) for name, error in suite.skipped.items()},
            seconds=time.monotonic() - began,
        )
        if folder is not None and strips is not None:
            strips.write_sheet(folder, results)
            write_report(folder, report)
    bad = len(failed) + sum(result.damaged for result in results)
    if request.strict and bad:
        raise InputError(
            f"{bad} of {len(pairs)} clips can't be used, or only in part",
            hint="without --strict this is no error",
        )
    return report


def _measured(
    bench: Bench, pairs: list[Pair], on_progress: OnProgress
) -> tuple[list[ClipResult], list[Failed]]:
    """One after the other; InputError if none can be used."""
    results: list[ClipResult] = []
    failed: list[Failed] = []
    for number, pair in enumerate(pairs):
        tell = functools.partial(on_progress, Progress(EVALUATING, number, len(pairs)))
        try:
            results.append(bench.measure(pair, len(results), tell))
        except InputError as error:
            failed.append(Failed(pair.source.name, pair.driving.name, str(error)))
            log.warning("%s", error)
    if not results:
        raise InputError(
            f"no clip can be used; the first: {failed[0].reason}", hint="cut faces out with mcnet preprocess"
        )
    return results, failed


def _check_outside(request: EvaluationRequest) -> None:
    """UsageError for a report among the clips: its sheet would be taken for a clip the next time."""
    assert request.output is not None
    if request.output.resolve().is_relative_to(request.clips.resolve()):
        raise UsageError(f"the output {shown(request.output)} lies among the clips", hint="choose another -o")
