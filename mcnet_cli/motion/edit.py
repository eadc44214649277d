"""`edit`: motions in, one motion file out."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from mcnet_cli.checkpoint import read_weights
from mcnet_cli.errors import InputError, UsageError, counted, shown
from mcnet_cli.files import check_free
from mcnet_cli.motion.blending import controls_of
from mcnet_cli.motion.bundled import bundled_motion, names_of_motions
from mcnet_cli.motion.editing import MotionEdit, added, joined, mixed
from mcnet_cli.motion.keyframes import Keyframes
from mcnet_cli.motion.motion import Motion
from mcnet_cli.motion.motion_file import MOTION_SUFFIX, is_motion_file, read_motion, write_motion
from mcnet_cli.options import require_between
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
        return {
            "output": str(self.output),
            "frames": self.frames,
            "rate": str(self.rate),
            "bytes": self.bytes,
            "is_recorded": self.is_recorded,
        }

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
