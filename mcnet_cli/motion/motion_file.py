"""Motion files: a motion without any picture, written once and used any number of times.

They are safetensors, checked before use, so that one from a stranger is safe to open.
"""

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.checkpoint.safetensors_file import Header, read_header, read_tensors, write_tensors
from mcnet_cli.errors import InputError, shown
from mcnet_cli.face.topology import MESH_POINTS
from mcnet_cli.files import atomic_output, require_regular_file
from mcnet_cli.media import Span
from mcnet_cli.motion.blending import part, resampled
from mcnet_cli.motion.bundled import bundled_motion
from mcnet_cli.motion.controls import CONTROLS, Controls
from mcnet_cli.motion.motion import FRAME_LIMIT, IRISES, RECORDED, Motion
from mcnet_cli.options import RATE_LIMITS

if TYPE_CHECKING:
    from mcnet_cli.model import ModelConfig

MOTION_SUFFIX = ".motion"
# What a file may hold. Beyond these it is taken for damaged or hostile.
FORMAT = "1"
KEYPOINT_LIMIT = 500
MAX_VALUE = 100.0
MIN_DETERMINANT = 1e-8


def write_motion(path: Path, motion: Motion, *, overwrite: bool = False) -> None:
    """Saves a motion to a file that holds no picture and no sound.

    The file appears under its name when it is complete. Equal motions give equal bytes.

    Args:
        path: the file; `mcnet animate` knows motion files by the suffix `.motion`.
        motion: with all 468 landmarks or none, as `Animator.motion` gives it.
        overwrite: replace an existing file; otherwise that is a UsageError.

    Raises:
        UsageError: the name is taken.
        SystemFailure: the disk is full or not writable.

    Example:
        >>> from pathlib import Path
        >>> from mcnet_cli import Animator, read_motion, write_motion
        >>> motion = Animator.load("lite").motion("driving.mp4", max_frames=5)
        >>> write_motion(Path("wave.motion"), motion)
        >>> len(read_motion(Path("wave.motion")))
        5
    """
    import torch  # loaded here, so that names of motion files can be judged without it

    series: dict[str, NDArray[Any] | None] = {
        name: getattr(motion, name) for name in (*RECORDED, "found", "weights")
    }
    series["values"] = motion.values if motion.is_recorded else None
    series["controls"] = None if motion.controls is None else motion.controls.values
    tensors = {name: torch.from_numpy(values) for name, values in series.items() if values is not None}
    metadata = {
        "mcnet.motion": FORMAT,
        "mcnet.rate": str(motion.rate),
        "mcnet.detector": motion.digest,
        "mcnet.controls": ",".join(CONTROLS),
    }
    with atomic_output(path, overwrite=overwrite) as part:
        write_tensors(part, tensors, metadata)


def read_motion(path: Path) -> Motion:
    """Reads what `write_motion` wrote.

    Raises InputError, which names the file and the first thing wrong: no motion file, damaged, or numbers
    that make no sense.

    Example:
        >>> from pathlib import Path
        >>> from mcnet_cli import read_motion
        >>> read_motion(Path("portrait.jpg"))  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        InputError: portrait.jpg is damaged
    """
    require_regular_file(path)
    header = read_header(path, error=InputError)
    if header.metadata.get("mcnet.motion") != FORMAT:
        raise InputError(f"{shown(path)} is not a motion file", hint="make one with --save-motion")
    rate = _rate(path, header.metadata.get("mcnet.rate", ""))
    digest = header.metadata.get("mcnet.detector", "")
    if not re.fullmatch(r"[0-9a-f]{64}", digest) and "values" in header.shapes:
        raise InputError(f"{shown(path)}: its detector's digest makes no sense")
    if "controls" in header.shapes and header.metadata.get("mcnet.controls") != ",".join(CONTROLS):
        raise InputError(f"{shown(path)} has other controls than this version of mcnet")
    _check_entries(path, header)
    entries = {name: t.numpy() for name, t in read_tensors(path, header.shapes, error=InputError).items()}
    for name, entry in entries.items():
        if name != "found" and not (np.isfinite(entry).all() and np.abs(entry).max() <= MAX_VALUE):
            raise InputError(f"{shown(path)}: {name} holds numbers that make no sense")
    found = entries["found"]
    motion = Motion(
        entries.get("values", np.zeros((len(found), 0, 2), np.float32)),
        entries.get("jacobians"),
        entries.get("landmarks"),
        found,
        rate,
        digest,
        entries.get("irises"),
        Controls(entries["controls"]) if "controls" in entries else None,
        entries.get("weights"),
    )
    _check_jacobians(path, motion.jacobians)
    if motion.weights is not None and (motion.weights.min() < 0 or motion.weights.max() > 1):
        raise InputError(f"{shown(path)}: weights holds numbers that make no sense")
    if not motion.found.any():
        raise InputError(f"{shown(path)}: there is no face in any of its frames")
    return motion


def is_motion_file(path: Path) -> bool:
    """Whether a driving's name says that it is a motion file."""
    return path.suffix.lower() == MOTION_SUFFIX


def known_motion(
    path: Path,
    config: "ModelConfig",
    digest: str,
    *,
    span: Span,
    fps: Fraction | None,
    requires_face: bool = False,
) -> Motion | None:
    """The motion of a driving that has no pictures: a bundled one by its name, or a file's; else None.

    Of it the part `span`, interpolated to `fps` frames a second if that is given. config, digest: of the
    network that it is to move, and of its keypoint detector. InputError for a file that doesn't fit them,
    without frames there, or without a face in them.
    """
    if (bundled := bundled_motion(path)) is not None:
        return bundled.motion(fps, span)
    if not is_motion_file(path):
        return None
    motion = read_motion(path)
    require_fit(motion, config, digest, shown(path))
    motion = part(motion, replace(span, max_frames=None), shown(path))
    if fps is not None:
        motion = resampled(motion, fps)
    motion = motion[: span.max_frames]
    if not motion.found.any():
        raise faceless(path)
    if requires_face and not motion.found.all():
        raise no_face_in(path, int((~motion.found).argmax()))
    return motion


def require_fit(motion: Motion, config: "ModelConfig", digest: str, name: str) -> None:
    """InputError if a motion isn't of the keypoints that a network needs."""
    if not motion.is_recorded:
        return
    if motion.digest != digest:
        raise InputError(
            f"{name} was made by another keypoint detector than these weights have",
            hint="take the weights that it was made with, or make it again from the video",
        )
    kind = (motion.values.shape[1], motion.jacobians is not None)
    if kind != (config.keypoints.count, config.keypoints.jacobians):
        raise InputError(f"{name}: its keypoints are not of the number or kind that the weights need")


def no_face_in(path: Path, number: int) -> InputError:
    """The error for a frame without a face, where each has to have one."""
    return InputError(f"{shown(path)}: no face in frame {number}", hint="--on-no-face hold goes on without")


def faceless(path: Path) -> InputError:
    """The error for a driving that shows no face at all."""
    return InputError(
        f"{shown(path)}: no face was found in any frame",
        hint="say where it is with --driving-crop X,Y,W,H",
    )


def _rate(path: Path, text: str) -> Fraction:
    if re.fullmatch(r"[0-9]{1,9}(/[0-9]{1,9})?", text) and not text.endswith("/0"):
        rate = Fraction(*map(int, text.split("/")))
        if RATE_LIMITS[0] <= rate <= RATE_LIMITS[1]:
            return rate
    raise InputError(f"{shown(path)}: its frame rate makes no sense")


def _check_entries(path: Path, header: Header) -> None:
    """Names, types and shapes, before anything is allocated."""
    if "found" not in header.shapes:
        raise InputError(f"{shown(path)}: missing found")
    if "values" in header.shapes:
        shape = header.shapes["values"]
        if len(shape) != 3 or not (1 <= shape[0] <= FRAME_LIMIT and 1 <= shape[1] <= KEYPOINT_LIMIT):
            raise InputError(f"{shown(path)}: values has the shape {shape}, which makes no sense")
        frames, count = shape[:2]
    elif "controls" in header.shapes:
        frames, count = (header.shapes["found"] or (0,))[0], 0
        if not 1 <= frames <= FRAME_LIMIT:
            raise InputError(f"{shown(path)}: found has {frames} frames, which makes no sense")
    else:
        raise InputError(f"{shown(path)}: missing values")
    expected = {
        "values": ("F32", (frames, count, 2)),
        "jacobians": ("F32", (frames, count, 2, 2)),
        "landmarks": ("F16", (frames, MESH_POINTS, 2)),
        "irises": ("F16", (frames, IRISES, 2)),
        "found": ("BOOL", (frames,)),
        "controls": ("F32", (frames, len(CONTROLS))),
        "weights": ("F32", (frames,)),
    }
    for name, shape in header.shapes.items():
        if name not in expected:
            raise InputError(f"{shown(path)}: unexpected {shown(name[:100])}")
        if (header.dtypes[name], shape) != expected[name]:
            raise InputError(
                f"{shown(path)}: {name} is {shown(header.dtypes[name])} {shape}, "
                f"not {expected[name][0]} {expected[name][1]}"
            )


def _check_jacobians(path: Path, jacobians: NDArray[np.float32] | None) -> None:
    if jacobians is not None and np.abs(np.linalg.det(jacobians)).min() < MIN_DETERMINANT:
        raise InputError(f"{shown(path)}: one of its jacobians can't be inverted")
