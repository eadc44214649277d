"""Several motions as one, and `edit`: motions in, one motion file out.

Where one motion follows another, they are blended over a joint. Motions that were recorded of several people
are carried over to the first one's before they are combined.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mcnet_cli.errors import InputError, UsageError, counted, shown
from mcnet_cli.face.outer import MESH
from mcnet_cli.files import check_free
from mcnet_cli.motion.blending import (
    blended,
    concatenated,
    controls_of,
    filled,
    follow_on,
    resampled,
    weights_of,
)
from mcnet_cli.motion.bundled import bundled_motion, names_of_motions
from mcnet_cli.motion.controls import Keyframes, eased
from mcnet_cli.motion.motion import Motion
from mcnet_cli.motion.motion_file import MOTION_SUFFIX, is_motion_file, read_motion, write_motion
from mcnet_cli.motion.reference import best_reference, hull_scale, on_face
from mcnet_cli.motion.timing import JOINT_S, MotionEdit, faded
from mcnet_cli.options import require_between
from mcnet_cli.reports import json_values
from mcnet_cli.weights import NEVER, Fetch, resolve_weights


@dataclass(frozen=True, kw_only=True)
class EditRequest:
    """What is made of which motions: the options of `mcnet edit`. UsageError where they make no sense.

    Args:
        motions: motion files, or names of bundled motions; one goes over into the next.
        output: the new motion file.
        add: one that happens at the same time.
        mix, share: one that is mixed in, and how much of it, 0 to 1.
        edit: what happens in time to what the motions make together.
        controls: pose and expression by numbers, added at the end.
        weights: a name, path or hub address; they say which points of a face were recorded, where people's
            motions are combined. None: the environment's, else the bundled default.
        fetch: whether weights that are missing may be downloaded; by default they may not.
        overwrite: replace an existing output.

    Example:
        >>> from pathlib import Path
        >>> from mcnet_cli import EditRequest, edit
        >>> request = EditRequest(motions=(Path("nod"), Path("smile")), output=Path("yes.motion"))
        >>> edit(request).frames
        145
    """

    motions: tuple[Path, ...]
    output: Path
    add: Path | None = None
    mix: Path | None = None
    share: float = 0.5
    edit: MotionEdit = field(default_factory=MotionEdit)
    controls: Keyframes = field(default_factory=Keyframes)
    weights: str | None = None
    fetch: Fetch = NEVER
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not self.motions:
            raise UsageError("a motion is needed", hint="mcnet edit nod -o slow-nod.motion --speed 0.5")
        require_between("--mix", self.share, 0, 1)
        if not is_motion_file(self.output):
            raise UsageError(f"-o {shown(self.output)}: the file's name must end with {MOTION_SUFFIX}")

    @property
    def inputs(self) -> tuple[Path, ...]:
        """All motions that are used."""
        return tuple(path for path in (*self.motions, self.add, self.mix) if path is not None)


@dataclass(frozen=True, slots=True)
class EditReport:
    """A motion file that was made.

    Attributes:
        output: the file.
        frames, rate: how many, and how many a second.
        bytes: the file's size.
        is_recorded: whether a person's motion is in it, beside or instead of controls.

    Example:
        >>> from fractions import Fraction
        >>> from pathlib import Path
        >>> from mcnet_cli import EditReport
        >>> print(EditReport(Path("slow.motion"), 110, Fraction(25), 6600, False).as_text())
        slow.motion: 110 frames at 25 frames/s, 4.4 s, 6.6 kB
    """

    output: Path
    frames: int
    rate: Fraction
    bytes: int
    is_recorded: bool

    def as_json(self) -> dict[str, Any]:
        """JSON values; the exact rate is text."""
        return json_values(self)

    def as_text(self) -> str:
        """One line."""
        seconds = float(self.frames / self.rate)
        return (
            f"{shown(self.output)}: {counted(self.frames, 'frame')} at {float(self.rate):.5g} frames/s, "
            f"{seconds:.1f} s, {self.bytes / 1000:.1f} kB"
        )


def edit(request: EditRequest) -> EditReport:
    """Combines and edits motions, and writes the result to a file.

    Raises:
        UsageError: options that make no sense, or a name that is taken.
        InputError: a motion that can't be read, or that doesn't fit the others.
        WeightsError: weights that are needed to combine recordings of people can't be used.
        SystemFailure: the disk is full or not writable.

    Example:
        >>> from pathlib import Path
        >>> from mcnet_cli import EditRequest, MotionEdit, edit
        >>> slowly = MotionEdit(speed=0.5)
        >>> edit(EditRequest(motions=(Path("nod"),), output=Path("slow.motion"), edit=slowly)).frames
        110
    """
    files = tuple(path for path in request.inputs if path.exists())
    check_free(request.output, overwrite=request.overwrite, inputs=files)
    motions = {path: _read(path, request.edit.rate) for path in request.inputs}
    numbers: tuple[int, ...] = ()
    if sum(motion.is_recorded for motion in motions.values()) > 1:
        from mcnet_cli.checkpoint import read_weights  # torch loads here

        config = read_weights(resolve_weights(request.weights, fetch=request.fetch)).config
        numbers = config.keypoints.landmarks
    motion = joined([motions[path] for path in request.motions], numbers)
    if request.add is not None:
        motion = added(motion, motions[request.add], numbers)
    if request.mix is not None:
        motion = mixed(motion, motions[request.mix], request.share, numbers)
    motion = request.edit.applied(motion)
    if request.controls:
        numbers_added = request.controls.controls(len(motion), motion.rate)
        motion = replace(motion, controls=controls_of(motion) + numbers_added)
    write_motion(request.output, motion, overwrite=request.overwrite)
    return EditReport(
        request.output, len(motion), motion.rate, request.output.stat().st_size, motion.is_recorded
    )


def _read(path: Path, rate: Fraction | None) -> Motion:
    """A motion by its file or its name."""
    if (bundled := bundled_motion(path)) is not None:
        return bundled.motion(rate)
    if not path.exists() or not is_motion_file(path):
        raise InputError(
            f"{shown(path)}: there is no motion file or motion of that name",
            hint="mcnet animate --save-motion makes a file of a video; by name there are "
            + names_of_motions(),
        )
    return read_motion(path)


def joined(motions: Sequence[Motion], numbers: Sequence[int] = (), joint_s: float = JOINT_S) -> Motion:
    """One motion after the other, blended where they meet; at the rate of the first.

    numbers: `Animator.landmarks`, needed where several were recorded: all become the first one's person.
    joint_s: how long two are blended, in seconds; each joint takes so much off the sum of their lengths.

    Raises InputError for recordings by different keypoint detectors.

    Example:
        >>> from mcnet_cli import bundled_motions, joined
        >>> nod, smile = (motion.motion() for motion in bundled_motions() if motion.name in ("nod", "smile"))
        >>> len(nod), len(smile), len(joined([nod, smile]))
        (55, 100, 145)
    """
    whole = motions[0]
    for motion in motions[1:]:
        whole = follow_on(whole, _alike(motion, whole, numbers), joint_s)
    return whole


def added(first: Motion, second: Motion, numbers: Sequence[int] = ()) -> Motion:
    """Both motions at once, as long as the longer one; the shorter one fades away at its end.

    Numbers and errors as for `joined`.

    Example:
        >>> from mcnet_cli import added, bundled_motions
        >>> nod, smile = (motion.motion() for motion in bundled_motions() if motion.name in ("nod", "smile"))
        >>> len(added(nod, smile))
        100
    """
    second = _alike(second, first, numbers)
    count = max(len(first), len(second))
    first, second = (_lengthened(motion, count) for motion in (first, second))
    controls = controls_of(first) + controls_of(second)
    if not (first.is_recorded and second.is_recorded):
        recorded = first if first.is_recorded else second
        return replace(recorded, controls=controls)
    start = _reference(first)
    weights = weights_of(second)[:, None, None]
    values = first.values + weights * (second.values - first.values[start])
    return replace(first, values=values.astype(np.float32), controls=controls)


def mixed(first: Motion, second: Motion, share: float, numbers: Sequence[int] = ()) -> Motion:
    """Between two motions: `share` of the second, the rest of the first; as long as the shorter one.

    Numbers and errors as for `joined`; UsageError for a share beyond 0 and 1.

    Example:
        >>> from mcnet_cli import bundled_motions, mixed
        >>> nod, smile = (motion.motion() for motion in bundled_motions() if motion.name in ("nod", "smile"))
        >>> len(mixed(nod, smile, 0.3))
        55
    """
    require_between("--mix", share, 0, 1)
    second = _alike(second, first, numbers)
    count = min(len(first), len(second))
    return blended(filled(first[:count]), filled(second[:count]), np.full(count, share, np.float32))


def _alike(motion: Motion, other: Motion, numbers: Sequence[int]) -> Motion:
    """A motion at the rate of another one, and of its person where both were recorded."""
    if motion.rate != other.rate:
        motion = resampled(motion, other.rate)
    if not (motion.is_recorded and other.is_recorded):
        return motion
    if motion.digest != other.digest or motion.values.shape[1:] != other.values.shape[1:]:
        raise InputError(
            "the motions are of different keypoint detectors", hint="make them with the same weights"
        )
    return _carried_over(filled(motion), filled(other), numbers)


def _carried_over(motion: Motion, onto: Motion, numbers: Sequence[int]) -> Motion:
    """A recorded motion as if it were that of another one's person."""
    import torch  # only motions of several people need it

    from mcnet_cli.model import Keypoints
    from mcnet_cli.motion.relative_motion import relative_motion

    start = _reference(onto)
    if motion.landmarks is not None and onto.landmarks is not None:
        end = best_reference(onto.landmarks[start], motion.landmarks, motion.found)
    else:
        end = best_reference(onto.values[start], motion.values, motion.found)
    scale = hull_scale(on_face(onto.values[start], numbers), on_face(motion.values[end], numbers))
    moved = relative_motion(
        motion.keypoints(slice(None)), motion.keypoints(end), onto.keypoints(start), scale, numbers
    )
    landmarks = irises = None
    if motion.landmarks is not None and onto.landmarks is not None:
        points, reference, own = (
            Keypoints(torch.from_numpy(np.asarray(each, np.float32)))
            for each in (motion.landmarks, motion.landmarks[end][None], onto.landmarks[start][None])
        )
        growth = hull_scale(*(np.asarray(each.values[0]) for each in (own, reference)))
        known = MESH if points.values.shape[1] == len(MESH) else ()
        landmarks = relative_motion(points, reference, own, growth, known).values.numpy().astype(np.float16)
        if motion.irises is not None and onto.irises is not None:
            irises = onto.irises[start] + growth * (motion.irises - motion.irises[end])
            irises = irises.astype(np.float16)
    return replace(
        motion,
        values=moved.values.numpy(),
        jacobians=None if moved.jacobians is None else moved.jacobians.numpy(),
        landmarks=landmarks,
        irises=irises,
    )


def _reference(motion: Motion) -> int:
    """The frame with a face that is most like the others."""
    shapes = motion.values if motion.landmarks is None else motion.landmarks
    usable = motion.found & (weights_of(motion) > 0)
    usable = usable if usable.any() else motion.found
    return best_reference(np.median(shapes[usable].astype(np.float32), axis=0), shapes, usable)


def _lengthened(motion: Motion, count: int) -> Motion:
    """A motion of at least `count` frames, the last of which show the source as it is."""
    if len(motion) >= count:
        return motion
    length = min(round(JOINT_S * float(motion.rate)), len(motion))
    ramp = np.ones(len(motion), np.float32)
    ramp[len(motion) - length :] = eased(1 - (np.arange(length) + 1) / (length + 1))
    ended = faded(motion, ramp)
    rest = replace(faded(motion[-1:], np.zeros(1, np.float32)), found=np.ones(1, np.bool_))
    return concatenated([ended, rest[np.zeros(count - len(motion), np.intp)]])
