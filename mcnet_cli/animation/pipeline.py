"""`animate`, `extract_motion` and `load_model`: the steps in the order in which they happen."""

import contextlib
import logging
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import torch

from mcnet_cli.animation.job import Job
from mcnet_cli.animation.motion import Motion
from mcnet_cli.animation.motion_file import write_motion
from mcnet_cli.animation.outputs import made_folder, plan_outputs
from mcnet_cli.animation.plan import AnimationPlan, make_plan
from mcnet_cli.animation.rendering import render
from mcnet_cli.animation.report import AnimationReport, AnimationResult, peak_memory_mb
from mcnet_cli.animation.request import AnimationRequest, OnProgress, Progress
from mcnet_cli.animation.retarget import check_reference, prepare_motion
from mcnet_cli.checkpoint import build_model, read_weights
from mcnet_cli.devices import choose_device
from mcnet_cli.errors import WeightsError, shown
from mcnet_cli.model import MCNet
from mcnet_cli.weights import resolve_weights

log = logging.getLogger(__name__)


def animate(
    request: AnimationRequest, on_progress: OnProgress | None = None
) -> AnimationReport | AnimationPlan:
    """Makes the sources move like the driving; with `request.dry_run` only says what would be done.

    The driving is read once, whatever the number of sources. What can fail is checked before the long work:
    outputs, inputs, weights, faces in the sources. Raises the children of McnetError.
    """
    began = time.monotonic()
    outputs = plan_outputs(request)
    job = Job(request, on_progress or _silent)
    if request.dry_run:
        return make_plan(job, outputs)
    job.load()
    sources = [job.look_at(path) for path in request.sources]
    driving = job.read_driving(whole_landmarks=request.save_motion is not None)
    if request.motion == "relative":
        check_reference(driving.motion, request)
    prepared = prepare_motion(driving.motion, request, job.weights.smooth)
    results = []
    with made_folder(request):
        for source, output in zip(sources, outputs, strict=True):
            with invertible(job.weights.path):
                rendered = render(source, driving, prepared, job.engine, request, output, job.on_progress)
            for warning in rendered.warnings:
                log.warning("%s: %s", shown(output.target), warning)
            now = time.monotonic()
            results.append(
                AnimationResult(
                    source=source.path,
                    driving=request.driving,
                    output=output.target,
                    frames=rendered.frames,
                    rate=driving.motion.rate,
                    seconds=now - began,
                    damaged=driving.damaged,
                    no_face=driving.no_face,
                    peak_memory_mb=peak_memory_mb(),
                )
            )
            began = now
        if request.save_motion is not None:
            write_motion(request.save_motion, driving.motion, overwrite=request.overwrite)
        job.crops.save(driving.box, {source.path: source.boxes for source in sources})
    return job.report(results)


def extract_motion(
    driving: Path,
    *,
    weights: str | None = None,
    device: str = "auto",
    detector: str = "blazeface",
    driving_crop: str = "auto",
    on_no_face: str = "hold",
    start_s: float = 0.0,
    end_s: float | None = None,
    max_frames: int | None = None,
    fps: Fraction | None = None,
    strict: bool = False,
    on_progress: OnProgress | None = None,
) -> Motion:
    """The motion of a video, gif, folder of images, image or .motion file; arguments as in AnimationRequest.

    Save it with `write_motion`. Raises the children of McnetError.
    """
    request = AnimationRequest(
        sources=(),
        driving=driving,
        weights=weights,
        device=device,
        precision="fp32",
        detector=detector,
        source_crop="none",
        driving_crop=driving_crop,
        on_no_face=on_no_face,
        start_s=start_s,
        end_s=end_s,
        max_frames=max_frames,
        fps=fps,
        strict=strict,
    )
    return Job(request, on_progress or _silent).read_driving(whole_landmarks=True).motion


def load_model(weights: str | None = None, *, device: str = "auto") -> MCNet:
    """The network of a weights file, ready to compute; names as `mcnet animate --weights` takes them.

    Raises WeightsError, or UsageError for a device that isn't there.
    """
    place = choose_device(device)
    return build_model(read_weights(resolve_weights(weights)), place)


def _silent(_progress: Progress) -> None:
    pass


@contextlib.contextmanager
def invertible(weights: Path) -> Iterator[None]:
    """Singular jacobians are the fault of the weights."""
    try:
        yield
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise WeightsError(f"{shown(weights)} gives jacobians that can't be inverted") from error
